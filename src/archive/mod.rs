//! Recordings as files: written plain or compressed, read back with suspicion, for they come from other machines.
//! What is in one, and whether it fits together, is left to those who ask it.

mod read;
mod write;

pub use read::{Stored, read};
pub use write::{Packed, packed, write};
