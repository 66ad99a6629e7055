//! What podnet reports when it cannot do the work: what failed, why, what to do about it, and the exit code
//! that tells a script the same. Things that are merely unseen are gaps, wrong networks are findings.

use std::fmt;

use serde::Serialize;

/// Result of everything that can fail for the person who typed the command.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The exit codes of the binary, the same for every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[repr(u8)]
pub enum Exit {
    /// The work is done and every path that was asked for holds.
    Ok = 0,
    /// The work is done and a path is broken.
    Broken = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// podnet could not do the work, or could not see enough to say whether the path holds.
    Failed = 3,
}

/// Which sort of failure it was, for scripts that must tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorId {
    /// The command line makes no sense.
    Usage,
    /// Nothing on this machine answers to the target.
    UnknownTarget,
    /// Several things answer to the target.
    AmbiguousTarget,
    /// The target was there and is gone.
    Gone,
    /// The target is there and podnet may not look at it.
    NoPermission,
    /// What was named is not a network namespace.
    NotANetns,
    /// The kernel refused a request that the command cannot do without.
    Kernel,
    /// What is there already stands in the way.
    Conflict,
    /// A signal asked podnet to stop.
    Interrupted,
    /// A file is no snapshot, or one that this podnet cannot read.
    Snapshot,
    /// A private namespace for the demo could not be made.
    Isolation,
    /// Anything else.
    Failed,
}

/// One failure, told so that the reader knows what to do next.
#[derive(Debug)]
pub struct Error {
    /// Sort of failure.
    pub id: ErrorId,
    /// What failed, with its operands.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// What was found instead, where the failure is a choice among several.
    pub candidates: Vec<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure of this sort with what failed and its operands.
    pub fn new(id: ErrorId, message: impl Into<String>) -> Self {
        Error { id, message: message.into(), hint: None, candidates: Vec::new(), source: None }
    }

    /// The answer could not be written to stdout.
    pub fn unwritten(cause: std::io::Error) -> Self {
        Error::new(ErrorId::Failed, "the answer could not be written")
            .because(cause)
            .hint("see where stdout leads: a full disk?")
    }

    /// Adds what the reader can do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what was found instead.
    pub fn candidates(mut self, candidates: Vec<String>) -> Self {
        self.candidates = candidates;
        self
    }

    /// Adds the cause.
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The exit code of this failure.
    pub fn exit(&self) -> Exit {
        match self.id {
            ErrorId::Usage => Exit::Usage,
            _ => Exit::Failed,
        }
    }

    /// The causes in order, each in words.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

impl From<clap::Error> for Error {
    fn from(usage: clap::Error) -> Self {
        let text = usage.render().to_string();
        let mut parts = text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
        let message = parts.next().unwrap_or_default();
        let hint = parts.collect::<Vec<_>>().join("; ");
        Error::new(ErrorId::Usage, message.strip_prefix("error: ").unwrap_or(&message)).hint(hint)
    }
}
