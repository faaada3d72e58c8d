//! STAGE 3: bring it back.
