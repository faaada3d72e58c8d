//! Archives in buckets and on other machines.
//!
//! Invariant: the only place of the program that opens stores. Nothing secret comes from the command line.

use std::path::Path;

use hashget::storage::SharedSource;
use hashget_backup::store::{Address, Patience, Store, StoreError, StoreSettings, open_store};

use crate::environment::Environment;
use crate::exit::UsageError;

/// The store and the name of a file in one, if the text is such an address.
pub(crate) fn file_in_store(text: &Path) -> Result<Option<(Address, String)>, UsageError> {
    let Some(text) = text.to_str() else { return Ok(None) };
    Address::of_file(text).map_err(|error| UsageError(error.to_string()))
}

/// Is it the address of a file in a store?
pub(crate) fn is_in_store(text: &Path) -> bool {
    text.to_str().is_some_and(|text| text.starts_with("s3://") || text.starts_with("sftp://"))
}

impl Environment<'_> {
    /// Opens a store, which is kept until the command ends. Of one that does not answer, nobody waits for more than the time of
    /// `patience`.
    pub(crate) fn store(
        &self,
        address: &Address,
        patience: Patience,
    ) -> anyhow::Result<&dyn Store> {
        let settings = StoreSettings { patience, ..self.store_settings()? };
        let store = open_store(address, &settings).map_err(classed)?;
        Ok(&**self.stores().keep(store))
    }

    /// A file of a store, to be read.
    pub(crate) fn open_in_store(
        &self,
        address: &Address,
        name: &str,
    ) -> anyhow::Result<Box<dyn SharedSource + '_>> {
        Ok(self.store(address, Patience::brief())?.open(name, self.console).map_err(classed)?)
    }
}

/// The error with its class, as the rest of the program knows it.
pub(crate) fn classed(error: StoreError) -> std::io::Error {
    error.into()
}
