//! The restore stage: whole trees brought back, through the public interface alone.

mod fidelity;
mod support;
