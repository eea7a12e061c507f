//! Events to EventFrame (polars) to FeatureMatrix (ndarray).
