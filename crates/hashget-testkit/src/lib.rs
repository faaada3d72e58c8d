//! Test parts.
<<<<<<< HEAD

pub mod packages;
=======
pub mod origin;
pub mod small_disk;
>>>>>>> main
