//! How far long work is, for whoever wants to show it.

/// Is told how many parts are done, and of how many; from several threads at once.
pub type Progress<'a> = dyn Fn(usize, usize) + Sync + 'a;
