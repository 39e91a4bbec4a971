//! What several tests read.

use sc_world::Picture;

/// The reference pictures, 16 side by side, in the middle shade.
pub fn reference_renders() -> Vec<Picture> {
    let png = image::load_from_memory(include_bytes!(
        "../../../../tests/fixtures/janus-tiny-world/renders.png"
    ));
    let all = png.unwrap_or_else(|error| panic!("{error}")).to_rgb8();
    (0..16)
        .map(|index| {
            let mut picture = Picture::filled(32, 32, [0; 3]);
            for row in 0..32 {
                for column in 0..32 {
                    let pixel = all.get_pixel((32 * index + column) as u32, row as u32);
                    picture.set_pixel(row, column, pixel.0);
                }
            }
            picture
        })
        .collect()
}
