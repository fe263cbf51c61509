//! Signatures made by an implementation that others wrote: the `standardwebhooks` package of
//! `PyPI`, in a virtual environment of its own for each run.

#[cfg(test)]
#[path = "standard_webhooks/interop.rs"]
mod interop;
