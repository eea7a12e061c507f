/// How often each distinct value occurs, in the order of the values.
pub(crate) struct Distinct {
    counts: Vec<u32>,
}

impl Distinct {
    pub(crate) fn of<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        let mut values: Vec<&str> = values.collect();
        values.sort_unstable();
        let equal = values.chunk_by(|a, b| a == b);
        Self { counts: equal.map(|all| u32::try_from(all.len()).unwrap_or(u32::MAX)).collect() }
    }

    pub(crate) fn count(&self) -> f64 {
        self.counts.len() as f64
    }

    /// Shannon entropy in bits; 0 for one value or none.
    pub(crate) fn entropy(&self) -> f64 {
        let total = f64::from(self.counts.iter().sum::<u32>());
        if total == 0.0 {
            return 0.0;
        }
        let h: f64 = self.counts.iter().map(|&c| f64::from(c) / total).map(|p| -p * p.log2()).sum();
        h.max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_of_even_and_single_values() {
        assert!(Distinct::of(std::iter::empty()).entropy().abs() < 1e-12);
        assert!(Distinct::of(["a", "a"].into_iter()).entropy().abs() < 1e-12);
        let d = Distinct::of(["d", "b", "c", "a"].into_iter());
        assert!((d.entropy() - 2.0).abs() < 1e-12);
        assert!((d.count() - 4.0).abs() < 1e-12);
    }
}
