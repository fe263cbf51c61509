//! What is said on a connection after HTTP: the service that answers 101 gives a conversation, and
//! the connection's own task has it, so that it stays under the connection's seat and its stop.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

/// Ready once the connection should come to its end.
pub(crate) type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

type Conversation = Box<dyn FnOnce(Stop) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Where the conversation is given. A request over HTTP/1.1 that names an upgrade has one among its
/// extensions.
#[derive(Clone, Default)]
pub(crate) struct Handover(Arc<Mutex<Option<Conversation>>>);

impl Handover {
    /// Gives what is to be said once the answer is out. It must end soon after the stop that it is
    /// given is ready, and is dropped when the connection has to end.
    pub(crate) fn give<F, T>(&self, conversation: F)
    where
        F: FnOnce(Stop) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let conversation: Conversation = Box::new(|stop| Box::pin(conversation(stop)));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(conversation);
    }

    pub(super) fn take(&self) -> Option<Conversation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Handover").finish_non_exhaustive()
    }
}
