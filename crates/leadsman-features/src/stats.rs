use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How often each distinct value occurs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tally(BTreeMap<Box<str>, u32>);

impl Tally {
    pub(crate) fn add(&mut self, value: &str) {
        match self.0.get_mut(value) {
            Some(count) => *count += 1,
            None => {
                self.0.insert(value.into(), 1);
            }
        }
    }

    pub(crate) fn add_some(&mut self, value: Option<&str>) {
        if let Some(value) = value {
            self.add(value);
        }
    }

    /// How many values are distinct.
    pub(crate) fn count(&self) -> f64 {
        self.0.len() as f64
    }

    /// Shannon entropy in bits; 0 for one value or none. It is summed in the order of the values, not of their arrival.
    pub(crate) fn entropy(&self) -> f64 {
        let total = f64::from(self.0.values().sum::<u32>());
        if total == 0.0 {
            return 0.0;
        }
        let h: f64 = self.0.values().map(|&c| f64::from(c) / total).map(|p| -p * p.log2()).sum();
        h.max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Tally {
        let mut tally = Tally::default();
        values.iter().for_each(|value| tally.add(value));
        tally
    }

    #[test]
    fn entropy_of_even_and_single_values() {
        assert!(of(&[]).entropy().abs() < 1e-12);
        assert!(of(&["a", "a"]).entropy().abs() < 1e-12);
        let d = of(&["d", "b", "c", "a"]);
        assert!((d.entropy() - 2.0).abs() < 1e-12);
        assert!((d.count() - 4.0).abs() < 1e-12);
    }
}
