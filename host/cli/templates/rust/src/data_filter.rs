//! Which images are fit to be trained on: those that the model is sure enough of.

pub struct Settings {
    /// How far from 0.5 p-yes must lie.
    pub min_margin: f64,
}

/// Why an image is unfit, if it is. The same cause has the same words: the host counts them.
pub fn unfit(p_yes: f64, unparsed: bool, settings: &Settings) -> Option<&'static str> {
    if unparsed {
        Some("unparsed")
    } else if (p_yes - 0.5).abs() < settings.min_margin {
        Some("undecided")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_model_is_sure_of_is_kept() {
        let settings = Settings { min_margin: 0.25 };
        assert_eq!(unfit(0.9, false, &settings), None);
        assert_eq!(unfit(0.1, false, &settings), None);
        assert_eq!(
            unfit(0.75, false, &settings),
            None,
            "the margin itself is enough"
        );
        assert_eq!(unfit(0.6, false, &settings), Some("undecided"));
        assert_eq!(unfit(0.9, true, &settings), Some("unparsed"));
    }
}
