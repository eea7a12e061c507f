//! Rows that are drawn more often than others.

use std::collections::BTreeSet;

use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::{Array1, Array2, Axis, concatenate};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{bytes, fit, normals, scores, small};
use crate::sample::Sampler;
use crate::{ForestError, IsolationForest};

fn fit_weighted(x: &Array2<f64>, weights: Vec<f32>) -> Result<IsolationForest, ForestError> {
    let dataset = DatasetBase::from(x.clone()).with_weights(Array1::from(weights));
    IsolationForest::params().subsample_size(64).fit(&dataset)
}

#[test]
fn rows_of_weight_zero_are_never_drawn() {
    let common = normals(200, 2, 1);
    let x = concatenate![Axis(0), common, normals(200, 2, 2) + 20.0];
    let weights = (0..400).map(|row| if row < 200 { 1.0 } else { 0.0 }).collect();
    let forest = fit_weighted(&x, weights).unwrap();
    let scores = scores(&forest, x.view());
    let mut common: Vec<f64> = scores.iter().take(200).copied().collect();
    common.sort_by(f64::total_cmp);
    // half of the rows, had they counted, would be as ordinary as the others
    assert!(scores.iter().skip(200).all(|score| *score > common[190]));
}

#[test]
fn rows_are_drawn_in_proportion_to_their_weights() {
    let weights: Vec<f32> = (0..20).map(|row| if row < 10 { 1.0 } else { 3.0 }).collect();
    let sampler = Sampler::new(20, Some(&weights)).unwrap();
    let mut drawn = [0_u32; 20];
    for seed in 0..4000 {
        let rows = sampler.draw(1, &mut ChaCha8Rng::seed_from_u64(seed));
        drawn[rows[0]] += 1;
    }
    // 100 and 300 each
    let [light, heavy] = [drawn[..10].iter().sum::<u32>(), drawn[10..].iter().sum::<u32>()];
    assert!((900..1100).contains(&light) && light + heavy == 4000, "{drawn:?}");
}

#[test]
fn a_few_heavy_rows_do_not_hide_the_others() {
    // drawing one after the other would hardly ever leave the heavy rows: the other way must take over
    let weights: Vec<f32> = (0..100).map(|row| if row < 2 { 1e30 } else { 1e-3 + row as f32 * 1e28 }).collect();
    let rows = Sampler::new(100, Some(&weights)).unwrap().draw(40, &mut ChaCha8Rng::seed_from_u64(1));
    assert_eq!(rows.len(), 40);
    assert_eq!(rows.iter().collect::<BTreeSet<_>>().len(), 40);
}

#[test]
fn equal_weights_fit_what_no_weights_fit_when_all_rows_are_used() {
    let x = normals(50, 3, 1);
    let dataset = DatasetBase::from(x.clone()).with_weights(Array1::from_elem(50, 0.5));
    let params = small().subsample_size(64);
    assert_eq!(bytes(&params.fit(&dataset).unwrap()), bytes(&fit(&params, x.view())));
}

#[test]
fn weights_that_cannot_be_drawn_by_are_a_typed_error() {
    let x = normals(4, 2, 1);
    for weights in [vec![0.0; 4], vec![1.0, -1.0, 1.0, 1.0], vec![1.0, f32::NAN, 1.0, 1.0], vec![f32::INFINITY; 4]] {
        assert!(matches!(fit_weighted(&x, weights), Err(ForestError::Weights)));
    }
}
