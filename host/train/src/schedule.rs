/// Learning-rate factor over the steps of a round: linear warm-up, then half a cosine to 0.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Steps of linear warm-up.
    pub warmup: usize,
    /// Steps in all.
    pub total: usize,
}

impl Schedule {
    /// The factor at `step`, from 0; in 0–1, above 0 at every step of the round.
    pub fn factor(&self, step: usize) -> f64 {
        if step < self.warmup {
            return (step + 1) as f64 / (self.warmup + 1) as f64;
        }
        let decaying = self.total.saturating_sub(self.warmup).max(1) as f64;
        let done = (step - self.warmup) as f64 / decaying;
        0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_then_falls_and_never_reaches_zero_within_the_round() {
        let schedule = Schedule {
            warmup: 3,
            total: 10,
        };
        let factors: Vec<f64> = (0..10).map(|step| schedule.factor(step)).collect();
        assert_eq!(&factors[..4], &[0.25, 0.5, 0.75, 1.0]);
        assert!(factors[3..].is_sorted_by(|a, b| a > b));
        assert!(factors[9] > 0.0);
        assert_eq!(schedule.factor(10), 0.0);
    }
}
