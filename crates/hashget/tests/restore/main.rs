//! The restore stage: whole trees brought back, through the public interface alone.

mod by_hand;
mod fidelity;
mod hostile;
mod support;
mod trouble;
mod unprivileged;
mod version_one;
