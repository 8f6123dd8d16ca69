//! The judge's statistics against others' (SciPy, mpmath, plain definitions) and against what is promised of them.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod calibration;
mod oracle;
