//! A published folder in a bucket.
//!
//! Invariant: nothing that is read here is proven. Each part of the folder is opened once, when it is first asked for.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use hashget::monitor::Monitor;
use hashget::wording::one_line;
use hashget_backup::store::{Address, Store, StoreError, StoreSettings, open_store};
use hashget_published::{Counter, Files, PublishedError, Traffic, check_part, too_long};

/// A published folder in a bucket.
pub(crate) struct InBucket {
    bucket: String,
    /// What the keys begin with: nothing, or a path that ends with `/`.
    prefix: String,
    location: String,
    settings: StoreSettings,
    /// The folders below it, by their paths.
    opened: Mutex<HashMap<String, Arc<dyn Store>>>,
    counter: Counter,
}

impl InBucket {
    /// The one in this bucket, of keys that begin with `prefix`.
    pub(crate) fn new(bucket: String, prefix: String, settings: StoreSettings) -> Self {
        let location = Address::S3(bucket.clone(), prefix.clone()).shown();
        let (opened, counter) = (Mutex::default(), Counter::default());
        Self { bucket, prefix, location, settings, opened, counter }
    }

    /// The store that has this file as `name`.
    fn store<'n>(&self, file: &'n str) -> Result<(Arc<dyn Store>, &'n str), StoreError> {
        let (folder, name) = match file.rsplit_once('/') {
            Some((folder, name)) => (format!("{}{folder}/", self.prefix), name),
            None => (self.prefix.clone(), file),
        };
        let mut opened = self.opened.lock().expect("nothing panics while it opens");
        if let Some(store) = opened.get(&folder) {
            return Ok((Arc::clone(store), name));
        }
        let address = Address::S3(self.bucket.clone(), folder.clone());
        let store: Arc<dyn Store> = Arc::from(open_store(&address, &self.settings)?);
        opened.insert(folder, Arc::clone(&store));
        Ok((store, name))
    }

    /// Reads bytes of a file: those that `wanted` says, by its size.
    fn read(
        &self,
        file: &str,
        wanted: impl FnOnce(u64) -> Result<(u64, u64), PublishedError>,
        monitor: &dyn Monitor,
    ) -> Result<Vec<u8>, PublishedError> {
        let (store, name) = self.store(file).map_err(failed)?;
        let source = store.open(name, monitor).map_err(failed)?;
        let (first, count) = wanted(source.size().unwrap_or_default())?;
        let mut bytes = vec![0; usize::try_from(count).map_err(io::Error::other)?];
        let random = source.random().ok_or(io::ErrorKind::Unsupported).map_err(io::Error::from)?;
        let read = random.read_at(&mut bytes, first)?;
        bytes.truncate(read);
        // One request for its size, and one for the bytes.
        self.counter.count(2, read);
        check_part(file, first, count, first + read as u64)?;
        Ok(bytes)
    }
}

fn failed(error: StoreError) -> PublishedError {
    let (problem, class) = (one_line(&error), error.class());
    PublishedError::Store { problem, class }
}

impl Files for InBucket {
    fn whole(
        &self,
        name: &str,
        most: u64,
        monitor: &dyn Monitor,
    ) -> Result<Vec<u8>, PublishedError> {
        let all = |size| if size > most { Err(too_long(name, most)) } else { Ok((0, size)) };
        self.read(name, all, monitor)
    }

    fn part(
        &self,
        name: &str,
        first: u64,
        count: u64,
        monitor: &dyn Monitor,
    ) -> Result<Vec<u8>, PublishedError> {
        let these = |size| check_part(name, first, count, size).map(|()| (first, count));
        self.read(name, these, monitor)
    }

    fn location(&self) -> &str {
        &self.location
    }

    fn traffic(&self) -> Traffic {
        self.counter.traffic()
    }
}

#[cfg(test)]
mod tests {
    use hashget::fetch::OriginOptions;
    use hashget_backup::store::Patience;
    use hashget_testkit::object_store::{BUCKET, ObjectStore};

    use super::*;
    use crate::published_files as suite;

    #[test]
    fn a_bucket_conforms() {
        let server = ObjectStore::start();
        for prefix in ["", "a/published/"] {
            server.put(&format!("{prefix}tables/a"), suite::CONTENT);
            let variable = |name: &str| match name {
                "AWS_ACCESS_KEY_ID" => Some("key".to_owned()),
                "AWS_SECRET_ACCESS_KEY" => Some("hidden".to_owned()),
                "AWS_ENDPOINT_URL" => Some(server.endpoint()),
                _ => None,
            };
            let settings = StoreSettings::of_environment(None, OriginOptions::default(), variable);
            let settings = StoreSettings { patience: Patience::brief(), ..settings };
            suite::check(&InBucket::new(BUCKET.to_owned(), prefix.to_owned(), settings), 2);
        }
    }
}
