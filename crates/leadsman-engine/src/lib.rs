//! Plain state machines over the detectors: observe, score, combine, retrain.
