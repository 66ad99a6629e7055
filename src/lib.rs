//! podnet: how does a packet get from this container to there, and where does it stop?
//!
//! Data moves one way: what was typed (`target`) -> facts (`kernel`) -> decisions (`trace`, `wiring::plan`) ->
//! a string (`render`) -> `main`, which prints it and picks the exit code.
//!
//! | room | what it owns |
//! | --- | --- |
//! | [`model`] | the nouns: plain data, shared by all |
//! | [`wiring`] | the only writer of the machine: carries plans out |
//! | [`demo`] | the private node that `podnet demo` and the tests build |
//! | [`error`] | what podnet says when it cannot do the work |
//! | [`kernel`] | the facts, read from the running machine |

pub mod cli;
pub mod commands;
pub mod demo;
pub mod error;
pub mod kernel;
pub mod model;
pub mod render;
pub mod wiring;
