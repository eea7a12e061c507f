use std::collections::BTreeMap;

/// Distinct values and their Shannon entropy.
#[derive(Default)]
pub(crate) struct Distinct<'a> {
    counts: BTreeMap<&'a str, u32>,
}

impl<'a> Distinct<'a> {
    pub(crate) fn add(&mut self, value: Option<&'a str>) {
        if let Some(v) = value {
            *self.counts.entry(v).or_default() += 1;
        }
    }

    pub(crate) fn count(&self) -> f64 {
        self.counts.len() as f64
    }

    /// In bits; 0 for one value or none.
    pub(crate) fn entropy(&self) -> f64 {
        let total = f64::from(self.counts.values().sum::<u32>());
        if total == 0.0 {
            return 0.0;
        }
        let h: f64 = self.counts.values().map(|&c| f64::from(c) / total).map(|p| -p * p.log2()).sum();
        h.max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_of_even_and_single_values() {
        let mut d = Distinct::default();
        assert!(d.entropy().abs() < 1e-12);
        for v in ["a", "b", "c", "d"] {
            d.add(Some(v));
        }
        d.add(None);
        assert!((d.entropy() - 2.0).abs() < 1e-12);
        assert!((d.count() - 4.0).abs() < 1e-12);
    }
}
