//! Pins the public signatures: a change that would break users does not compile here, and needs a new major version.

use leadsman_forest::{
    Attributions, ForestError, IsolationForest, IsolationForestParams, IsolationForestValidParams, Kernel,
    MAX_FEATURES, MAX_SUBSAMPLE_SIZE, MAX_TREES, Missing, SplitMode, TreeDefect,
};
use linfa::traits::{Fit, Predict, PredictInplace};
use linfa::{DatasetBase, ParamGuard};
use ndarray::{Array1, Array2, ArrayView2};
use serde::Serialize;
use serde::de::DeserializeOwned;

type Result<T> = std::result::Result<T, ForestError>;

#[test]
fn signatures_are_those_of_the_release() {
    let _: fn() -> IsolationForestParams = IsolationForest::params;
    let _: fn(IsolationForestParams, usize) -> IsolationForestParams = IsolationForestParams::n_trees;
    let _: fn(IsolationForestParams, usize) -> IsolationForestParams = IsolationForestParams::subsample_size;
    let _: fn(IsolationForestParams, u64) -> IsolationForestParams = IsolationForestParams::seed;
    let _: fn(IsolationForestParams, SplitMode) -> IsolationForestParams = IsolationForestParams::split_mode;
    let _: fn(IsolationForestParams, Missing) -> IsolationForestParams = IsolationForestParams::missing;
    let _: fn(IsolationForestParams, Vec<usize>) -> IsolationForestParams = IsolationForestParams::categorical;
    let _: fn(IsolationForestParams) -> Result<IsolationForestValidParams> = IsolationForestParams::check;
    let _: fn(&IsolationForestValidParams) -> usize = IsolationForestValidParams::n_trees;
    let _: fn(&IsolationForestValidParams) -> usize = IsolationForestValidParams::subsample_size;
    let _: fn(&IsolationForestValidParams) -> u64 = IsolationForestValidParams::seed;
    let _: fn(&IsolationForestValidParams) -> SplitMode = IsolationForestValidParams::split_mode;
    let _: fn(&IsolationForestValidParams) -> Missing = IsolationForestValidParams::missing;
    let _: fn(&IsolationForestValidParams) -> &[usize] = IsolationForestValidParams::categorical;

    let _: fn(&IsolationForest, ArrayView2<'_, f64>) -> Result<Array1<f64>> = IsolationForest::score;
    let _: fn(&IsolationForest, ArrayView2<'_, f32>) -> Result<Array1<f64>> = IsolationForest::score;
    let _: fn(&IsolationForest, Kernel, ArrayView2<'_, f64>) -> Result<Array1<f64>> = IsolationForest::score_by;
    let _: fn(&IsolationForest, ArrayView2<'_, f64>) -> Result<Attributions> = IsolationForest::attributions;
    let _: fn(&IsolationForest, ArrayView2<'_, f64>) -> Result<Attributions> = IsolationForest::shapley;
    let _: fn(&IsolationForest) -> usize = IsolationForest::n_features;
    let _: fn(&IsolationForest) -> usize = IsolationForest::n_trees;
    let _: fn(&IsolationForest) -> usize = IsolationForest::subsample_size;
    let _: fn(&IsolationForest) -> Vec<u8> = IsolationForest::to_bytes;
    let _: fn(&[u8]) -> Result<IsolationForest> = IsolationForest::from_bytes;

    let _: fn() -> Kernel = Kernel::best;
    let _: fn(Kernel) -> bool = Kernel::is_available;
    let _: fn(Kernel) -> &'static str = Kernel::as_str;
    let _: [Kernel; 3] = Kernel::ALL;
    let _: [usize; 3] = [MAX_FEATURES, MAX_SUBSAMPLE_SIZE, MAX_TREES];
}

#[test]
fn traits_are_those_of_the_release() {
    fn stored<T: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + 'static>() {}
    fn error<T: std::error::Error + From<linfa::Error> + Send + Sync + 'static>() {}
    fn fits<F: linfa::Float, P: Fit<Array2<F>, (), ForestError, Object = IsolationForest>>() {}
    fn predicts<F, P: PredictInplace<Array2<F>, Array1<f64>>>() {}
    stored::<IsolationForest>();
    error::<ForestError>();
    error_of_a_tree::<TreeDefect>();
    fits::<f32, IsolationForestParams>();
    fits::<f64, IsolationForestValidParams>();
    predicts::<f32, IsolationForest>();
    predicts::<f64, IsolationForest>();
}

fn error_of_a_tree<T: std::error::Error + Copy + Eq>() {}

#[test]
fn results_have_the_fields_of_the_release() -> Result<()> {
    let x = Array2::from_shape_fn((50, 3), |(row, column)| ((row * 7 + column * 5) % 13) as f64);
    let forest = IsolationForest::params().fit(&DatasetBase::from(x.view()))?;
    let predicted: Array1<f64> = forest.predict(&x);
    let Attributions { mean_root_depth, depth, by_feature } = forest.attributions(x.view())?;
    assert_eq!((predicted.len(), depth.len(), by_feature.dim()), (50, 50, (50, 3)));
    assert!(mean_root_depth > 0.0);
    Ok(())
}
