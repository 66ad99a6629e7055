//! podnet: how does a packet get from this container to there, and where does it stop?
//!
//! Data moves one way: what was typed (`target`) -> facts (`kernel`) -> decisions (`trace`, `wiring::plan`) ->
//! a string (`render`) -> `main`, which prints it and picks the exit code.
//!
//! | room | what it owns |
//! | --- | --- |
//! | [`model`] | the nouns: plain data, shared by all |
//! | [`error`] | what podnet says when it cannot do the work |
//! | [`kernel`] | the only reader of the machine |

pub mod cli;
pub mod commands;
pub mod error;
pub mod kernel;
pub mod model;
pub mod render;
