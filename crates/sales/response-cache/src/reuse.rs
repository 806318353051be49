//! Whether a stored response answers a request.

use crate::lookup::Lookup;
use crate::status::Forwarded;
use crate::stored::Stored;

/// How a stored response is used for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// It is the answer.
    Answer,
    /// It is the answer, and is validated meanwhile for later requests.
    AnswerAndValidate,
    /// It has to be validated first, for this reason.
    Validate(Forwarded),
}

impl Lookup {
    /// How a stored response that the request selects is used (RFC 9111, 4.2 and 5.2.1).
    pub fn reuse(&self, stored: &Stored, now_ms: u64) -> Reuse {
        let (policy, asked) = (&stored.policy, &self.directives);
        let age_ms = stored.age_ms(now_ms);
        if policy.is_always_validated {
            return Reuse::Validate(Forwarded::Stale);
        }
        if asked.no_cache || asked.max_age.is_some_and(|max_s| age_ms > max_s * 1_000) {
            return Reuse::Validate(Forwarded::Request);
        }
        let least_ms = asked.min_fresh.map_or(0, |seconds| seconds * 1_000);
        if age_ms < policy.lifetime_ms {
            return match policy.lifetime_ms - age_ms {
                rest_ms if rest_ms < least_ms => Reuse::Validate(Forwarded::Request),
                _ => Reuse::Answer,
            };
        }
        let stale_ms = age_ms - policy.lifetime_ms;
        let is_permitted = !policy.is_never_stale && !policy.is_shared_lifetime;
        let is_accepted = asked.max_stale.is_some_and(|max_s| stale_ms <= max_s * 1_000);
        if least_ms > 0 {
            Reuse::Validate(Forwarded::Stale)
        } else if stale_ms < policy.stale_while_revalidate_ms {
            // The answer to another `HEAD` could not be stored.
            if self.is_head { Reuse::Answer } else { Reuse::AnswerAndValidate }
        } else if is_permitted && is_accepted {
            Reuse::Answer
        } else {
            Reuse::Validate(Forwarded::Stale)
        }
    }

    /// Whether the stored response is the answer if the component fails (RFC 5861, 4).
    pub fn is_answer_after_error(&self, stored: &Stored, now_ms: u64) -> bool {
        let policy = &stored.policy;
        let is_permitted = !policy.is_never_stale && !policy.is_shared_lifetime;
        let asked_ms = self.directives.stale_if_error.map_or(0, |seconds| seconds * 1_000);
        let asked_ms = if is_permitted { asked_ms } else { 0 };
        let stale_ms = stored.age_ms(now_ms).saturating_sub(policy.lifetime_ms);
        // A fresh one was not used because the request does not accept it.
        !self.directives.no_cache && stale_ms < policy.stale_if_error_ms.max(asked_ms)
    }
}
