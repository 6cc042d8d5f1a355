//! The same refusal of one visitor after the other. A plain value.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::domain::ids::SessionId;
use crate::limits::AddressKey;
use crate::llm::upstream::error_class::UpstreamErrorKind;

/// The least number of visitors whom a refusal must meet. What meets one visitor may be caused by
/// the visitor.
const MIN_SESSIONS: usize = 2;

/// A refusal by the server, as far as it can be the same for several visitors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub kind: UpstreamErrorKind,
    /// The code and the parameter that the server names.
    pub identity: Option<Arc<str>>,
}

/// Whose question was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    pub session: SessionId,
    pub address: AddressKey,
}

/// The visitors who were refused in the same way, one after the other.
#[derive(Debug)]
pub struct RefusalStreak {
    threshold: usize,
    current: Option<Streak>,
}

#[derive(Debug)]
struct Streak {
    refusal: Refusal,
    /// At most as many as the threshold.
    sessions: HashSet<SessionId>,
    /// The address of all the sessions; `None` if they have several.
    address: Option<AddressKey>,
}

/// A refusal that meets every visitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommonRefusal {
    pub refusal: Refusal,
    /// The number of visitors who were refused in a row.
    pub sessions: usize,
    /// The address of all these visitors; `None` if they have several.
    pub address: Option<AddressKey>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.identity {
            Some(identity) => write!(f, "{} ({identity})", self.kind.as_str()),
            None => f.write_str(self.kind.as_str()),
        }
    }
}

impl RefusalStreak {
    /// Returns an empty streak. `threshold` is the number of visitors whom a refusal must meet to
    /// be common.
    #[must_use]
    pub fn new(threshold: usize) -> Self {
        Self { threshold: threshold.max(MIN_SESSIONS), current: None }
    }

    /// Records that the server answered a question, or would have.
    pub fn end(&mut self) {
        self.current = None;
    }

    /// Adds a refusal. Returns it if it has met enough visitors in a row.
    pub fn add(&mut self, refusal: &Refusal, asker: Asker) -> Option<CommonRefusal> {
        let streak = self.current.take().filter(|streak| streak.refusal == *refusal);
        let mut streak = streak.unwrap_or_else(|| Streak {
            refusal: refusal.clone(),
            sessions: HashSet::new(),
            address: Some(asker.address),
        });
        streak.address = streak.address.filter(|address| *address == asker.address);
        if streak.sessions.len() < self.threshold {
            streak.sessions.insert(asker.session);
        }
        let sessions = streak.sessions.len();
        let address = streak.address;
        self.current = Some(streak);
        (sessions >= self.threshold).then(|| CommonRefusal { refusal: refusal.clone(), sessions, address })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn asker(session: u128, address: u8) -> Asker {
        let address = AddressKey::from_ip(Ipv4Addr::new(192, 0, 2, address).into());
        Asker { session: SessionId(Uuid::from_u128(session)), address }
    }

    fn refusal(identity: &str) -> Refusal {
        Refusal { kind: UpstreamErrorKind::BadRequest, identity: Some(identity.into()) }
    }

    #[test]
    fn one_visitor_meets_no_common_refusal_however_often_it_asks() {
        for threshold in [1, 2, 5] {
            let mut streak = RefusalStreak::new(threshold);
            assert!((0..100).all(|_| streak.add(&refusal("a"), asker(1, 1)).is_none()));
        }
    }

    #[test]
    fn enough_visitors_in_a_row_make_a_refusal_common_and_another_refusal_starts_anew() {
        let mut streak = RefusalStreak::new(3);
        for session in [1, 1, 2, 2] {
            assert_eq!(streak.add(&refusal("a"), asker(session, 1)), None);
        }
        let common = streak.add(&refusal("a"), asker(3, 1)).unwrap();
        assert_eq!((common.sessions, common.address), (3, Some(asker(3, 1).address)));
        assert_eq!(streak.add(&refusal("a"), asker(4, 2)).unwrap().address, None);
        assert_eq!(streak.add(&refusal("b"), asker(5, 1)), None);
        assert_eq!(streak.add(&refusal("a"), asker(6, 1)), None);
    }

    #[test]
    fn refusal_names_its_kind_and_identity() {
        assert_eq!(
            refusal("unsupported_parameter: max_tokens").to_string(),
            "bad_request (unsupported_parameter: max_tokens)"
        );
        assert_eq!(Refusal { identity: None, ..refusal("") }.to_string(), "bad_request");
    }

    proptest! {
        /// A refusal is common exactly if the refusals since the last answer and the last other
        /// refusal are of enough different sessions.
        #[test]
        fn common_means_enough_different_sessions_in_a_row(
            threshold in 0_usize..5,
            steps in prop::collection::vec((0_u8..8, 0_u128..5, 0_u8..3), 0..100),
        ) {
            let (mut streak, mut row) = (RefusalStreak::new(threshold), Vec::<(u8, Asker)>::new());
            for (step, session, address) in steps {
                if step == 0 {
                    streak.end();
                    row.clear();
                    continue;
                }
                let (name, asker) = (step % 2, asker(session, address));
                row.retain(|(other, _)| *other == name);
                row.push((name, asker));
                let sessions: HashSet<_> = row.iter().map(|(_, asker)| asker.session).collect();
                let addresses: HashSet<_> = row.iter().map(|(_, asker)| asker.address).collect();
                let common = streak.add(&refusal(if name == 0 { "a" } else { "b" }), asker);
                prop_assert_eq!(common.is_some(), sessions.len() >= threshold.max(MIN_SESSIONS));
                if let Some(common) = common {
                    prop_assert_eq!(common.address.is_some(), addresses.len() == 1);
                }
            }
        }
    }
}
