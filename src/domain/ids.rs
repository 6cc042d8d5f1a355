//! The ids of sessions and turns, and the token that resumes a session.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use utoipa::ToSchema;
use uuid::{Builder, Uuid};

/// The id of a visitor's conversation: a UUIDv7, so that ids sort by creation time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct SessionId(pub Uuid);

/// The id of one question and its answer: a UUIDv7. The turns of a session sort in the order in
/// which they were asked, even if the clocks of two instances differ or a clock is set back,
/// because each id is generated to be greater than the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct TurnId(pub Uuid);

impl SessionId {
    /// Generates a new id.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl TurnId {
    /// Generates a new id, greater than all ids that this process generated before.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// Generates a new id that is also greater than `self`. If the clock is behind the time of
    /// `self`, the new id is one millisecond later than `self`.
    #[must_use]
    pub fn next(self) -> Self {
        let new = Self::generate();
        if new > self {
            return new;
        }
        let [before @ .., _, _, _, _, _, _, _, _, _, _] = self.0.into_bytes();
        let [_, _, _, _, _, _, random @ ..] = new.0.into_bytes();
        let [a, b, c, d, e, f] = before;
        let millis = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        Self(Builder::from_unix_timestamp_millis(millis + 1, &random).into_uuid())
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for TurnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The secret that proves that a visitor owns a session: 256 random bits. The client receives it
/// once; the store keeps only its hash.
pub struct ResumeToken([u8; 32]);

/// The secret with which a client addresses its event stream: 128 random bits as 32 hexadecimal
/// digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ConnectionId(String);

/// The SHA-256 hash of a [`ResumeToken`]'s text.
#[derive(Clone, Copy)]
pub struct TokenHash(pub [u8; 32]);

impl ResumeToken {
    /// Generates a new token.
    ///
    /// # Errors
    /// Returns an error if the system's random number generator fails.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bits = [0; 32];
        getrandom::fill(&mut bits)?;
        Ok(Self(bits))
    }

    /// Returns the token as the client receives it: 64 hexadecimal digits.
    #[must_use]
    pub fn reveal(&self) -> String {
        to_hex(&self.0)
    }

    /// Returns the hash to store.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash::from_token(&self.reveal())
    }
}

impl ConnectionId {
    /// Generates a new id.
    ///
    /// # Errors
    /// Returns an error if the system's random number generator fails.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits)?;
        Ok(Self(to_hex(&bits)))
    }

    /// Returns an id as received from a client. Any text is accepted.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Returns the id as the client receives it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

fn to_hex(bits: &[u8]) -> String {
    use fmt::Write;
    bits.iter().fold(String::with_capacity(bits.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionId(hidden)")
    }
}

impl TokenHash {
    /// Hashes a token as received from a client. Any text is accepted.
    #[must_use]
    pub fn from_token(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Returns whether this is the stored hash. The comparison takes constant time, also if
    /// `stored` is empty.
    #[must_use]
    pub fn matches(&self, stored: &[u8]) -> bool {
        let stored: Option<&[u8; 32]> = stored.try_into().ok();
        let is_equal = self.0.ct_eq(stored.unwrap_or(&[0; 32]));
        (is_equal & Choice::from(u8::from(stored.is_some()))).into()
    }
}

impl fmt::Debug for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeToken(hidden)")
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_turn_id_is_greater_even_if_the_clock_is_behind() {
        let hour = Uuid::now_v7().get_timestamp().unwrap().to_unix().0 * 1000 + 3_600_000;
        let ahead = TurnId(Builder::from_unix_timestamp_millis(hour, &[0xff; 10]).into_uuid());
        let mut turns = vec![TurnId::generate()];
        turns.push(turns[0].next());
        turns.push(ahead);
        for _ in 0..1000 {
            turns.push(turns.last().unwrap().next());
        }
        assert!(turns.is_sorted_by(|earlier, later| earlier < later));
        assert!(turns.iter().all(|turn| turn.0.get_version_num() == 7));
        let other: Vec<TurnId> = (0..1000).map(|_| ahead.next()).collect();
        assert!(other.iter().all(|turn| !turns.contains(turn)), "two instances may generate the next id");
    }

    #[test]
    fn token_hash_matches_only_the_stored_hash() {
        let hash = TokenHash::from_token("a token");
        assert!(hash.matches(&hash.0));
        let mut other = hash.0;
        other[31] ^= 1;
        for stored in [&other[..], &hash.0[..31], &[], &[0; 32]] {
            assert!(!hash.matches(stored), "{stored:?}");
        }
        assert!(!TokenHash([0; 32]).matches(&[]), "an empty value is not a hash of zeros");
    }
}
