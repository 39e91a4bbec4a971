//! Pictures and prompts that the stages are trained on: renders of the world's training prompts,
//! and pictures of objects anywhere.

use rand::Rng;
use rand::seq::IndexedRandom;
use sc_core::prompt::Split;
use sc_world::codes::{code, codes, objects};
use sc_world::render::{lay_out, paint};
use sc_world::{
    Category, Colour, GRID_SIZE, Kind, Number, PlacedObject, Reading, RenderOptions, Shape, Spec,
    WorldPrompt, prompts,
};

/// Share of cells with an object in a picture of objects anywhere.
const FILLED: f64 = 0.3;

/// The training prompts, by kind.
pub(crate) struct Material {
    by_kind: [Vec<&'static WorldPrompt>; Kind::ALL.len()],
    single_objects: Vec<&'static WorldPrompt>,
}

/// A picture as objects in cells and as image tokens.
pub(crate) struct Scene {
    pub(crate) objects: Vec<PlacedObject>,
    pub(crate) codes: Vec<u32>,
}

impl Material {
    pub(crate) fn new() -> Material {
        let all = prompts(Split::Train);
        let is_single = |prompt: &&WorldPrompt| {
            let groups = prompt.spec.groups();
            groups.len() == 1 && groups[0].number == Number::One
        };
        Material {
            by_kind: Kind::ALL.map(|kind| all.iter().filter(|p| p.kind == kind).collect()),
            single_objects: all.iter().filter(is_single).collect(),
        }
    }

    /// A prompt: categories alike, kinds of a category alike, prompts of a kind alike.
    pub(crate) fn prompt(&self, rng: &mut impl Rng) -> &'static Spec {
        let category = Category::ALL[rng.random_range(0..Category::ALL.len())];
        let kinds: Vec<Kind> = category.kinds().collect();
        let kind = kinds[rng.random_range(0..kinds.len())];
        pick(&self.by_kind[kind as usize], rng)
    }

    /// A prompt for one object.
    pub(crate) fn single_object(&self, rng: &mut impl Rng) -> &'static Spec {
        pick(&self.single_objects, rng)
    }

    /// A picture for a tokenizer that must follow any codes: of a prompt, or of objects anywhere.
    pub(crate) fn any_scene(&self, rng: &mut impl Rng) -> Scene {
        if rng.random_bool(0.5) {
            return Scene::of(self.prompt(rng), rng);
        }
        let cells = GRID_SIZE * GRID_SIZE;
        let codes = (0..cells)
            .map(|_| {
                if rng.random_bool(FILLED) {
                    random_code(rng)
                } else {
                    sc_world::codes::WHITE
                }
            })
            .collect();
        Scene::showing(codes)
    }
}

fn pick(prompts: &[&'static WorldPrompt], rng: &mut impl Rng) -> &'static Spec {
    let prompt = prompts.choose(rng);
    &prompt.expect("every kind has training prompts").spec
}

/// The code of some object.
pub(crate) fn random_code(rng: &mut impl Rng) -> u32 {
    let colour = Colour::ALL[rng.random_range(0..Colour::ALL.len())];
    let shape = Shape::ALL[rng.random_range(0..Shape::ALL.len())];
    code(colour, shape)
}

impl Scene {
    /// A random picture of what a prompt asks for.
    pub(crate) fn of(spec: &Spec, rng: &mut impl Rng) -> Scene {
        Scene::showing(codes(&lay_out(spec, rng)))
    }

    /// The picture of these codes.
    pub(crate) fn showing(codes: Vec<u32>) -> Scene {
        Scene {
            objects: objects(&codes),
            codes,
        }
    }

    /// What the oracle reads in a good picture of it.
    pub(crate) fn reading(&self) -> Reading {
        Reading {
            objects: self.objects.clone(),
            malformed: Vec::new(),
        }
    }

    /// Planes [3, 32, 32] in −1..1 of a render.
    pub(crate) fn render(&self, rng: &mut impl Rng) -> Vec<f32> {
        paint(&self.objects, rng, RenderOptions::default()).to_planes()
    }
}
