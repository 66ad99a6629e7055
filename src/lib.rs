//! podnet: how does a packet get from this container to there, and where does it stop?
//!
//! Data moves one way: what was typed (`target`) -> facts (`kernel`) -> decisions (`trace`, `wiring::plan`) ->
//! a string (`render`) -> `main`, which prints it and picks the exit code.
//!
//! | room | what it owns |
//! | --- | --- |
//! | [`archive`] | recordings as files: written, and read back with suspicion |
//! | [`cli`] | flags and help text |
//! | [`commands`] | one short file a subcommand: facts, decision, text |
//! | [`model`] | the nouns: plain data, the only vocabulary that the others share |
//! | [`kernel`] | the only reader of the machine |
//! | [`recorded`] | recordings as a topology: podnet's own routing look-up, and nothing that reads |
//! | [`runtime`] | whose namespace it is, by what runtimes leave on disk |
//! | [`target`] | from what the user typed to a namespace |
//! | [`trace`] | the packet walk over a topology: pure decisions |
//! | [`wiring`] | the only writer of the machine: carries plans out |
//! | [`demo`] | the private node that `podnet demo` and the tests build |
//! | [`render`] | path text, tables, JSON, style: strings only |
//! | [`error`] | what podnet says when it cannot do the work |

pub mod archive;
pub mod cli;
pub mod commands;
pub mod demo;
pub mod error;
pub mod kernel;
pub mod model;
pub mod recorded;
pub mod render;
pub mod runtime;
pub mod target;
pub mod trace;
pub mod wiring;
