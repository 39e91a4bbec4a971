//! The oracle on renders, on statements with one attribute wrong, and on the reference pictures.

mod common;

use std::collections::BTreeMap;

use sc_core::prompt::Split;
use sc_core::rng::stream;
use sc_world::labelled::with_changed;
use sc_world::render::{lay_out, paint};
use sc_world::{
    Attribute, Cell, Colour, Picture, PlacedObject, Reading, RenderOptions, Shade, Shape, Spec,
    labelled_renders, prompts, read, read_picture, render, sample_prompts, verdict,
};

fn reading_of(picture: &Picture) -> Reading {
    read_picture(picture).unwrap_or_else(|error| panic!("{error}"))
}

fn spec(text: &str) -> Spec {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_render_of_every_held_out_prompt_and_of_sampled_prompts_is_read_exactly() {
    let mut rng = stream(1, "oracle-test", &[]);
    let sampled = sample_prompts(Split::Train, 2000, &mut rng);
    for prompt in prompts(Split::HeldOut).iter().chain(sampled) {
        let mut placed = lay_out(&prompt.spec, &mut rng);
        let reading = reading_of(&paint(&placed, &mut rng, RenderOptions::default()));
        placed.sort_by_key(PlacedObject::cell);
        assert_eq!(reading.objects, placed, "`{}`", prompt.text);
        assert_eq!(reading.malformed, []);
        assert!(verdict(&prompt.spec, &reading), "`{}`", prompt.text);
    }
}

#[test]
fn no_statement_with_one_attribute_wrong_is_accepted() {
    let mut negatives: BTreeMap<Attribute, usize> = BTreeMap::new();
    let mut rng = stream(2, "oracle-test", &[]);
    for prompt in prompts(Split::HeldOut) {
        let reading = reading_of(&render(&prompt.spec, &mut rng, RenderOptions::default()));
        for attribute in Attribute::ALL {
            // Each of the changes that there are makes a different statement.
            for changed in with_changed(&prompt.spec, attribute) {
                assert!(
                    !verdict(&changed, &reading),
                    "`{changed}` of a render of `{}`",
                    prompt.text
                );
                *negatives.entry(attribute).or_default() += 1;
            }
        }
    }
    for attribute in Attribute::ALL {
        let count = negatives.get(&attribute).copied().unwrap_or(0);
        assert!(count >= 500, "{attribute:?}: {count}");
    }
    assert!(negatives.values().sum::<usize>() >= 2000);
}

#[test]
fn labelled_renders_say_what_the_oracle_says() {
    let renders = labelled_renders(3, 2000);
    let mut changed: BTreeMap<Attribute, usize> = BTreeMap::new();
    for (at, render) in renders.iter().enumerate() {
        let truth = verdict(&spec(&render.statement), &reading_of(&render.picture));
        assert_eq!(truth, render.truth, "`{}`", render.statement);
        assert_eq!(truth, at % 2 == 0);
        assert_eq!(truth, render.changed.is_none());
        if let Some(attribute) = render.changed {
            *changed.entry(attribute).or_default() += 1;
        }
    }
    for attribute in Attribute::ALL {
        assert!(changed.get(&attribute).is_some_and(|&count| count >= 50));
    }
    assert_eq!(labelled_renders(3, 40), renders[..40]);
    assert_ne!(labelled_renders(4, 40), renders[..40]);
}

/// A drawing of one object in the cell at row 1, column 2, as planes.
fn one_object(colour: Colour, shape: Shape) -> Vec<f32> {
    let object = PlacedObject {
        colour,
        shape,
        row: 1,
        column: 2,
    };
    let options = RenderOptions {
        shade: Shade::Middle,
    };
    paint(&[object], &mut stream(1, "unused", &[]), options).to_planes()
}

/// Sets pixels of the cell at row 1, column 2 in reading order, as many as asked for.
fn recolour(planes: &mut [f32], from: [f32; 3], to: [f32; 3], pixels: usize) {
    let offsets = (0..64).map(|at| (8 + at / 8) * 32 + 16 + at % 8);
    let same = |planes: &[f32], at: usize| {
        (0..3).all(|channel| (planes[channel * 1024 + at] - from[channel]).abs() < 1e-6)
    };
    let chosen: Vec<usize> = offsets
        .filter(|&at| same(planes, at))
        .take(pixels)
        .collect();
    assert_eq!(chosen.len(), pixels);
    for at in chosen {
        for channel in 0..3 {
            planes[channel * 1024 + at] = to[channel];
        }
    }
}

const WHITE: [f32; 3] = [1.0; 3];
const BLACK: [f32; 3] = [-1.0; 3];

fn first_pixel(planes: &[f32]) -> [f32; 3] {
    [0, 1024, 2048].map(|channel| planes[channel + 8 * 32 + 16])
}

#[test]
fn the_thresholds_are_those_of_the_world() {
    let malformed = vec![Cell { row: 1, column: 2 }];
    let read_one = |planes: &[f32]| read(planes).unwrap_or_else(|error| panic!("{error}"));

    // Of 49 pixels 34 are 69 %, 35 are 71 %.
    let square = one_object(Colour::Red, Shape::Square);
    let red = first_pixel(&square);
    for (black, expected_objects) in [(14, 1), (15, 0), (34, 0), (35, 1)] {
        let mut planes = square.clone();
        recolour(&mut planes, red, BLACK, black);
        let reading = read_one(&planes);
        assert_eq!(reading.objects.len(), expected_objects, "{black} black");
        let expected = if expected_objects == 1 {
            vec![]
        } else {
            malformed.clone()
        };
        assert_eq!(reading.malformed, expected, "{black} black");
    }

    // A square without its first pixels overlaps by what is left of it.
    for (missing, malformed_cells, objects) in
        [(14, 0, 1), (15, 1, 0), (43, 1, 0), (44, 0, 0), (49, 0, 0)]
    {
        let mut planes = square.clone();
        recolour(&mut planes, red, WHITE, missing);
        let reading = read_one(&planes);
        assert_eq!(
            reading.malformed.len(),
            malformed_cells,
            "{missing} missing"
        );
        assert_eq!(reading.objects.len(), objects, "{missing} missing");
    }
}

#[test]
fn one_malformed_object_rejects_the_picture() {
    let mut planes = one_object(Colour::Blue, Shape::Ring);
    let ring = spec("a blue ring");
    let accepted = |planes: &[f32]| {
        let reading = read(planes).unwrap_or_else(|error| panic!("{error}"));
        verdict(&ring, &reading)
    };
    assert!(accepted(&planes));
    for at in 0..6 {
        for channel in 0..3 {
            planes[channel * 1024 + at] = -1.0;
        }
    }
    assert!(!accepted(&planes));
}

#[test]
fn values_outside_the_range_are_clipped_and_others_refused() {
    let planes = one_object(Colour::Green, Shape::Cross);
    let bright: Vec<f32> = planes
        .iter()
        .map(|&value| if value == 1.0 { 40.0 } else { value })
        .collect();
    assert_eq!(read(&bright).ok(), read(&planes).ok());
    assert!(read(&planes[1..]).is_err());
    let mut broken = planes;
    broken[5] = f32::NAN;
    assert!(read(&broken).is_err());
}

#[test]
fn bare_shapes_take_any_colour_and_coloured_ones_only_theirs() {
    let purple_ring = read(&one_object(Colour::Purple, Shape::Ring));
    let reading = purple_ring.unwrap_or_else(|error| panic!("{error}"));
    let check = |text: &str, expected: bool| {
        assert_eq!(verdict(&spec(text), &reading), expected, "`{text}`");
    };
    check("a ring", true);
    check("a purple ring", true);
    check("a red ring", false);
    check("two rings", false);
    check("a circle", false);
    check("a ring and a circle", false);
    check("a ring left of a circle", false);
}

#[test]
fn reference_renders_are_judged_as_their_statements_say_and_painted_alike() {
    let expected: serde_json::Value = serde_json::from_str(include_str!(
        "../../../tests/fixtures/janus-tiny-world/expected.json"
    ))
    .unwrap_or_default();
    let options = RenderOptions {
        shade: Shade::Middle,
    };
    let renders = expected["renders"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    assert_eq!(renders.len(), 16);
    for (row, picture) in renders.iter().zip(common::reference_renders()) {
        let reading = reading_of(&picture);
        let statement = row["statement"].as_str().unwrap_or_default();
        assert_eq!(
            Some(verdict(&spec(statement), &reading)),
            row["true"].as_bool(),
            "`{statement}`"
        );
        let again = paint(&reading.objects, &mut stream(1, "unused", &[]), options);
        assert!(again == picture, "painted otherwise: `{statement}`");
    }
}
