//! What to train on: the best image of a prompt, or the best against the worst.

pub struct Settings {
    /// Least difference in p-yes between the two images of a pair.
    pub min_gap: f64,
}

/// What the choice depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Image {
    pub index: u32,
    pub p_yes: f64,
    /// What the model said of it; none when its answer could not be read.
    pub accepted: Option<bool>,
}

/// The accepted image that the model is surest of; of equals the first.
pub fn best(images: &[Image]) -> Option<Image> {
    with(images, true).reduce(|best, image| {
        if image.p_yes > best.p_yes {
            image
        } else {
            best
        }
    })
}

/// The best accepted image and the worst rejected one, where they differ enough.
pub fn best_and_worst(images: &[Image], settings: &Settings) -> Option<(Image, Image)> {
    let best = best(images)?;
    let worst = with(images, false).reduce(|worst, image| {
        if image.p_yes < worst.p_yes {
            image
        } else {
            worst
        }
    })?;
    (best.p_yes - worst.p_yes >= settings.min_gap).then_some((best, worst))
}

fn with(images: &[Image], accepted: bool) -> impl Iterator<Item = Image> {
    let images = images.iter().copied();
    images.filter(move |image| image.accepted == Some(accepted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(index: u32, p_yes: f64, accepted: Option<bool>) -> Image {
        Image {
            index,
            p_yes,
            accepted,
        }
    }

    #[test]
    fn the_best_is_set_against_the_worst() {
        let images = [
            image(0, 0.7, Some(true)),
            image(2, 0.9, Some(true)),
            image(3, 0.4, Some(false)),
            image(5, 0.2, Some(false)),
            image(6, 0.5, None),
        ];
        let near = Settings { min_gap: 0.2 };
        assert_eq!(best(&images), Some(images[1]));
        assert_eq!(best_and_worst(&images, &near), Some((images[1], images[3])));
        let far = Settings { min_gap: 0.8 };
        assert_eq!(best_and_worst(&images, &far), None);
        assert_eq!(
            best_and_worst(&images[..2], &near),
            None,
            "none is rejected"
        );
        assert_eq!(best(&images[2..]), None, "none is accepted");
    }
}
