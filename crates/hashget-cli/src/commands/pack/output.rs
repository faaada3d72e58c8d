//! Opening what an archive is written to.
//!
//! Invariant: what cannot be written to shows before the work. Only a whole archive is sent.

use std::os::fd::AsFd as _;

use anyhow::Context as _;
use hashget::pack::Output;
use hashget::parity::Share;
use hashget_backup::store::{Address, Patience, StoreError, StoreSink};

use super::destination::{Destination, Medium};
use crate::environment::Environment;
use crate::stores::classed;

/// Opens the output for the library.
pub(super) fn open<'e>(
    destination: &Destination,
    parity: Option<Share>,
    environment: &'e Environment<'_>,
) -> anyhow::Result<Output<'e>> {
    Ok(match &destination.target {
        Medium::Nowhere => Output::Nothing,
        Medium::File(file) => match parity {
            Some(share) => Output::FileWithParity(file.clone(), share),
            None => Output::File(file.clone()),
        },
        Medium::Device(file) => {
            let device = fs_err::OpenOptions::new().write(true).open(file)?;
            Output::Open(device.into_parts().0)
        }
        Medium::StandardOutput => {
            // The descriptor itself, since an archive must not be line-buffered.
            let descriptor = std::io::stdout().as_fd().try_clone_to_owned()?;
            Output::Open(descriptor.into())
        }
        Medium::InStore(address, name) => {
            Output::Sink(Box::new(in_store(address, name, environment)?))
        }
    })
}

/// A sink that sends the archive once it is whole.
fn in_store<'e>(
    address: &Address,
    name: &str,
    environment: &'e Environment<'_>,
) -> anyhow::Result<StoreSink<'e>> {
    let store = environment.store(address, Patience::default())?;
    match store.open(name, environment.console) {
        Err(StoreError::NotThere { .. }) => {}
        Err(error) => return Err(classed(error).into()),
        Ok(_) => {
            let (store, name) = (store.shown().to_owned(), name.to_owned());
            return Err(classed(StoreError::Taken { store, name }).into());
        }
    }
    let spool =
        tempfile::tempfile().context("cannot make a file for what is to be sent: set TMPDIR")?;
    Ok(StoreSink::new(store, name, spool, environment.console))
}
