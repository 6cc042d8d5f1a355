//! The ids of sessions and turns, and the token that lets a visitor come back.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use utoipa::ToSchema;
use uuid::{Builder, Uuid};

/// A conversation of one visitor; a UUIDv7, so ids sort by creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct SessionId(pub Uuid);

/// One question and its answer; a UUIDv7, so the turns of a session sort in the order they were asked, also where that was at servers
/// whose clocks differ or before a clock was set back: each is made greater than the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct TurnId(pub Uuid);

impl SessionId {
    /// A new id.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl TurnId {
    /// A new id, greater than every one made before by this process.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// A new id, greater than this one too. When the clock is behind this one's time, its time is one millisecond after that.
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

/// What proves that a visitor owns a session: 256 random bits, told to the client once and kept only hashed.
pub struct ResumeToken([u8; 32]);

/// The SHA-256 of a [`ResumeToken`]'s text; all that the store knows of it.
#[derive(Clone, Copy)]
pub struct TokenHash(pub [u8; 32]);

impl ResumeToken {
    /// A new token from the system's random source.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bits = [0; 32];
        getrandom::fill(&mut bits)?;
        Ok(Self(bits))
    }

    /// The token as the client gets it: 64 hexadecimal digits.
    #[must_use]
    pub fn reveal(&self) -> String {
        use fmt::Write;
        self.0.iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// What to store of it.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.reveal())
    }
}

impl TokenHash {
    /// The hash of a token as a client sent it, whatever it is.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Whether it is the one that is stored. Takes the same time wherever they differ, and as long when nothing is stored.
    #[must_use]
    pub fn is(&self, stored: &[u8]) -> bool {
        let there: Option<&[u8; 32]> = stored.try_into().ok();
        let same = self.0.ct_eq(there.unwrap_or(&[0; 32]));
        (same & Choice::from(u8::from(there.is_some()))).into()
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
    fn the_next_turn_is_greater_whatever_the_clock_says() {
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
        assert!(other.iter().all(|turn| !turns.contains(turn)), "two servers may ask for the next one");
    }

    #[test]
    fn a_token_is_known_by_its_hash_and_by_no_other() {
        let hash = TokenHash::of("a token");
        assert!(hash.is(&hash.0));
        let mut other = hash.0;
        other[31] ^= 1;
        for stored in [&other[..], &hash.0[..31], &[], &[0; 32]] {
            assert!(!hash.is(stored), "{stored:?}");
        }
        assert!(!TokenHash([0; 32]).is(&[]), "nothing stored is no hash of zeros");
    }
}
