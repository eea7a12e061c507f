//! Detectors, calibration and explanation; pure and seeded.
