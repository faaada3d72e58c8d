//! Tokens: who may do what.
//!
//! Invariant: a token is only kept as its SHA-256; whoever reads the file cannot use it.

use rusqlite::{ErrorCode, OptionalExtension as _, params};

use hashget::model::Digest;

use super::{ServerDb, ServerDbError};
use crate::scope::Scope;

/// Bytes of a token that nobody can guess.
const BYTES: usize = 32;
/// What tokens begin with, so that people and scanners for secrets recognise them.
const BEGINNING: &str = "hgt_";
/// Characters of a token's name.
const LONGEST_NAME: usize = 64;

/// Identifies a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenId(i64);

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub(crate) id: TokenId,
    /// What it is called.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// When it was added, in seconds since 1970 UTC.
    pub added_at: i64,
}

impl ServerDb {
    /// Makes a token and returns its secret, which is not kept.
    ///
    /// # Errors
    /// `Refused` if there is one of this name, or the name is unusable; else see [`ServerDbError`].
    pub fn add_token(&self, name: &str, scope: Scope, now: i64) -> Result<String, ServerDbError> {
        let is_plain = |one: char| one.is_ascii_alphanumeric() || "-_.@".contains(one);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(is_plain) {
            let problem = "a token's name has 1 to 64 letters, digits, and -_.@";
            return Err(ServerDbError::Refused(problem.to_owned()));
        }
        let secret = secret()?;
        let added = self.with(|connection| {
            let statement =
                "INSERT INTO tokens (name, sha256, scope, added_at) VALUES (?1, ?2, ?3, ?4)";
            let sha256 = Digest::of(secret.as_bytes());
            connection.execute(statement, params![name, sha256.as_bytes(), scope.to_string(), now])
        });
        match added {
            Ok(_) => Ok(secret),
            Err(ServerDbError::Sqlite { error, .. })
                if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) =>
            {
                let problem = format!("there is a token \"{name}\": remove it first");
                Err(ServerDbError::Refused(problem))
            }
            Err(error) => Err(error),
        }
    }

    /// The token with this secret.
    ///
    /// # Errors
    /// See [`ServerDbError`].
    pub fn token(&self, secret: &str) -> Result<Option<Token>, ServerDbError> {
        let sha256 = Digest::of(secret.as_bytes());
        self.with(|connection| {
            connection
                .prepare_cached("SELECT id, name, scope, added_at FROM tokens WHERE sha256 = ?1")?
                .query_row([sha256.as_bytes()], token_of)
                .optional()
        })
    }

    /// All tokens, by name.
    ///
    /// # Errors
    /// See [`ServerDbError`].
    pub fn tokens(&self) -> Result<Vec<Token>, ServerDbError> {
        self.with(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT id, name, scope, added_at FROM tokens ORDER BY name")?;
            let tokens = statement.query_map([], token_of)?;
            tokens.collect()
        })
    }

    /// Removes a token. `false` if there is none of this name.
    ///
    /// # Errors
    /// See [`ServerDbError`].
    pub fn remove_token(&self, name: &str) -> Result<bool, ServerDbError> {
        let removed = self
            .with(|connection| connection.execute("DELETE FROM tokens WHERE name = ?1", [name]))?;
        Ok(removed > 0)
    }
}

fn secret() -> Result<String, ServerDbError> {
    let mut bytes = [0; BYTES];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    match filled {
        Ok(BYTES) => Ok(format!("{BEGINNING}{}", hex::encode(bytes))),
        _ => Err(ServerDbError::Refused("this machine gives no random numbers".to_owned())),
    }
}

fn token_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Token> {
    let scope: String = row.get(2)?;
    let scope = scope.parse().map_err(|problem: String| {
        rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, problem.into())
    })?;
    Ok(Token { id: TokenId(row.get(0)?), name: row.get(1)?, scope, added_at: row.get(3)? })
}
