//! Archives in buckets and on other machines.
//!
//! Invariant: the only place of the program that opens stores. Nothing secret comes from the command line.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use hashget::fetch::{Beside, Shelf};
use hashget::monitor::Monitor;
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

    /// An archive lies in this store: what it needs may lie beside it. The store is opened when something is looked for there.
    pub(crate) fn lies_in(&self, address: &Address) -> Result<(), UsageError> {
        let place = match address {
            Address::Folder(folder) => Beside::Folder(folder.clone()),
            address => {
                let settings =
                    StoreSettings { patience: Patience::brief(), ..self.store_settings()? };
                let (address, shown) = (address.clone(), address.shown());
                let opened = OnceLock::new();
                Beside::Shelf(Arc::new(ShelfOfStore { address, shown, settings, opened }))
            }
        };
        self.lies_at(place);
        Ok(())
    }

    /// A file of a store, to be read.
    pub(crate) fn open_in_store(
        &self,
        address: &Address,
        name: &str,
    ) -> anyhow::Result<Box<dyn SharedSource + '_>> {
        self.lies_in(address)?;
        Ok(self.store(address, Patience::brief())?.open(name, self.console).map_err(classed)?)
    }
}

/// A store in which what lies beside an archive is looked for.
struct ShelfOfStore {
    address: Address,
    shown: String,
    settings: StoreSettings,
    opened: OnceLock<Box<dyn Store>>,
}

impl Shelf for ShelfOfStore {
    fn shown(&self) -> &str {
        &self.shown
    }

    fn open<'s>(
        &'s self,
        name: &str,
        monitor: &'s dyn Monitor,
    ) -> io::Result<Box<dyn SharedSource + 's>> {
        let store = match self.opened.get() {
            Some(store) => store,
            None => {
                let store = open_store(&self.address, &self.settings).map_err(classed)?;
                self.opened.get_or_init(|| store)
            }
        };
        store.open(name, monitor).map_err(|error| match error {
            StoreError::NotThere { .. } => {
                io::Error::new(io::ErrorKind::NotFound, error.to_string())
            }
            error => classed(error),
        })
    }
}

/// The error with its class, as the rest of the program knows it.
pub(crate) fn classed(error: StoreError) -> io::Error {
    error.into()
}
