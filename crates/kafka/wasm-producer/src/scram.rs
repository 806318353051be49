//! The client side of SCRAM (RFC 5802, RFC 7677), without channel binding.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use pbkdf2::pbkdf2_hmac;
use sha2::{Digest as _, Sha256, Sha512};

use crate::config::{Mechanism, Sasl};

/// Maximum number of iterations that is accepted from a server. It limits the CPU time.
const ITERATIONS_MAX: u32 = 100_000;

/// An exchange after its first message.
pub struct Scram<'a> {
    sasl: &'a Sasl,
    nonce: String,
    first: String,
}

/// The last message, and the signature that the server must return.
pub struct Last {
    pub message: Vec<u8>,
    pub expected: Vec<u8>,
}

impl<'a> Scram<'a> {
    /// `nonce` must be printable and contain no commas.
    pub fn new(sasl: &'a Sasl, nonce: String) -> Self {
        let username = sasl.username.replace('=', "=3D").replace(',', "=2C");
        Self { sasl, first: format!("n={username},r={nonce}"), nonce }
    }

    /// The first message of the client.
    pub fn first(&self) -> Vec<u8> {
        format!("n,,{}", self.first).into_bytes()
    }

    /// The last message, computed from the server's first message. None if that is not valid.
    pub fn last(&self, server_first: &[u8]) -> Option<Last> {
        let server_first = std::str::from_utf8(server_first).ok()?;
        let mut parts = server_first.split(',');
        let nonce = parts.next()?.strip_prefix("r=")?;
        let salt = STANDARD.decode(parts.next()?.strip_prefix("s=")?).ok()?;
        let iterations: u32 = parts.next()?.strip_prefix("i=")?.parse().ok()?;
        let longer = nonce.starts_with(&self.nonce) && nonce.len() > self.nonce.len();
        if !longer || !(1..=ITERATIONS_MAX).contains(&iterations) {
            return None;
        }
        let without_proof = format!("c=biws,r={nonce}");
        let exchanged = format!("{},{server_first},{without_proof}", self.first);
        let (proof, signature) = match self.sasl.mechanism {
            Mechanism::ScramSha512 => self.prove512(&salt, iterations, &exchanged)?,
            _ => self.prove256(&salt, iterations, &exchanged)?,
        };
        let message = format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes();
        let expected = format!("v={}", STANDARD.encode(signature)).into_bytes();
        Some(Last { message, expected })
    }
}

/// The client's proof and the server's signature, for one hash function.
macro_rules! prove {
    ($name:ident, $hash:ty, $bytes:literal) => {
        impl Scram<'_> {
            fn $name(
                &self,
                salt: &[u8],
                iterations: u32,
                exchanged: &str,
            ) -> Option<(Vec<u8>, Vec<u8>)> {
                let sign = |key: &[u8], text: &[u8]| {
                    let mut mac = Hmac::<$hash>::new_from_slice(key).ok()?;
                    mac.update(text);
                    Some(mac.finalize().into_bytes())
                };
                let mut salted = [0; $bytes];
                let password = self.sasl.password.as_bytes();
                pbkdf2_hmac::<$hash>(password, salt, iterations, &mut salted);
                let client_key = sign(&salted, b"Client Key")?;
                let signature = sign(&<$hash>::digest(client_key), exchanged.as_bytes())?;
                let proof = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
                let server_key = sign(&salted, b"Server Key")?;
                Some((proof, sign(&server_key, exchanged.as_bytes())?.to_vec()))
            }
        }
    };
}

prove!(prove256, Sha256, 32);
prove!(prove512, Sha512, 64);

#[cfg(test)]
mod tests {
    use super::*;

    fn sasl(mechanism: Mechanism, username: &str) -> Sasl {
        Sasl { mechanism, username: username.into(), password: "pencil".into() }
    }

    /// The example of RFC 7677, section 3.
    #[test]
    fn the_example_of_the_rfc() {
        let sasl = sasl(Mechanism::ScramSha256, "user");
        let scram = Scram::new(&sasl, "rOprNGfwEbeRWgbNEkqO".into());
        assert_eq!(scram.first(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let server = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                       s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let last = scram.last(server).unwrap();
        assert_eq!(
            String::from_utf8(last.message).unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(last.expected, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn names_are_escaped() {
        let sasl = sasl(Mechanism::ScramSha512, "a=b,c");
        assert_eq!(Scram::new(&sasl, "n".into()).first(), b"n,,n=a=3Db=2Cc,r=n");
    }

    #[test]
    fn invalid_messages_of_the_server_are_rejected() {
        let sasl = sasl(Mechanism::ScramSha512, "user");
        let scram = Scram::new(&sasl, "abc".into());
        for server in [
            &b""[..],
            b"\xff",
            b"r=abc,s=YQ==,i=4096",
            b"r=xbcd,s=YQ==,i=4096",
            b"r=abcd,s=?,i=4096",
            b"r=abcd,s=YQ==,i=0",
            b"r=abcd,s=YQ==,i=4000000000",
            b"m=x,r=abcd,s=YQ==,i=4096",
        ] {
            assert!(scram.last(server).is_none(), "{server:?}");
        }
        assert!(scram.last(b"r=abcd,s=YQ==,i=4096").is_some());
    }
}
