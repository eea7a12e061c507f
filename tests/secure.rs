use crate::support::Case;
pub(crate) const CASES: &[Case] = &[];
