//! How many connections each address has open.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::peer::limit_address;

/// The open connections of each address (v6: each /64). Holds no more entries than there are
/// connections.
pub(super) struct Seats {
    taken: Mutex<HashMap<IpAddr, usize>>,
    per_address_max: usize,
}

impl Seats {
    pub(super) fn new(per_address_max: usize) -> Arc<Self> {
        Arc::new(Self { taken: Mutex::default(), per_address_max })
    }

    /// A seat for one connection of the address, given back when it is dropped; `None` if the
    /// address has all it may have.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let address = limit_address(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(address).or_insert(0);
        if *count >= self.per_address_max {
            return None;
        }
        *count += 1;
        Some(Seat { seats: Arc::clone(self), address })
    }
}

/// The place of one connection.
pub(super) struct Seat {
    seats: Arc<Seats>,
    address: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_free_again_when_its_connection_ends() {
        let seats = Seats::new(2);
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        let other: IpAddr = "2001:db8:0:1::1".parse().unwrap();
        let first = seats.take(one);
        let second = seats.take(neighbour);
        assert!(first.is_some() && second.is_some());
        assert!(seats.take(one).is_none());
        assert!(seats.take(other).is_some());
        drop(first);
        assert!(seats.take(one).is_some());
        drop(second);
        assert!(seats.taken.lock().unwrap().is_empty());
    }
}
