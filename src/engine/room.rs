//! How many passes may be at work: each lane has a share that the others cannot take, and what is beyond that is whose it is first.

/// Room for passes.
///
/// A pass spends a part of its time only in a request to the API of its workspace, so that as many passes as requests may be in flight
/// would not keep those in flight. A workspace that hangs takes its share and what is beyond, and leaves the shares of the others.
#[derive(Debug)]
pub struct Room {
    share: usize,
    within: Places,
    beyond: Places,
}

#[derive(Debug)]
struct Places {
    taken: usize,
    most: usize,
}

impl Room {
    /// Room for `passes` at once, of which each lane may take its `share`; and for half as many more of whatever lane.
    pub fn new(passes: usize, share: usize) -> Self {
        let places = |most| Places { taken: 0, most };
        Self {
            share: share.max(1),
            within: places(passes.max(1)),
            beyond: places(passes / 2),
        }
    }

    /// Whether a lane with so many passes at work may have another.
    pub fn has_place(&self, at_work: usize) -> bool {
        let places = if at_work < self.share {
            &self.within
        } else {
            &self.beyond
        };
        places.taken < places.most
    }

    /// A lane with so many passes at work begins another.
    pub fn enter(&mut self, at_work: usize) {
        self.places(at_work).taken += 1;
    }

    /// A pass of a lane has ended that has so many left at work.
    pub fn leave(&mut self, at_work: usize) {
        self.places(at_work).taken -= 1;
    }

    fn places(&mut self, at_work: usize) -> &mut Places {
        if at_work < self.share {
            &mut self.within
        } else {
            &mut self.beyond
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets lanes take what they can get; returns how many passes each has at work.
    fn fill<const LANES: usize>(room: &mut Room) -> [usize; LANES] {
        std::array::from_fn(|_| {
            let mut at_work = 0;
            while room.has_place(at_work) {
                room.enter(at_work);
                at_work += 1;
            }
            at_work
        })
    }

    #[test]
    fn lanes_that_hang_leave_the_others_their_shares() {
        let mut room = Room::new(64, 16);
        assert_eq!(fill(&mut room), [48, 16, 16, 16, 0]);
        for left in (16..48).rev() {
            room.leave(left);
        }
        assert!(room.has_place(16), "what was beyond the share is free");
        assert!(!room.has_place(0));
        room.leave(15);
        assert!(room.has_place(0));
    }

    #[test]
    fn there_is_always_room_for_one() {
        assert_eq!(fill(&mut Room::new(0, 0)), [1, 0]);
        assert_eq!(fill(&mut Room::new(4, 100)), [4, 0]);
    }
}
