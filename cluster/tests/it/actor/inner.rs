//! What transactions of tests that stand between a host and its store hand on as it is, to their field `inner`.

/// Reads.
macro_rules! inner_reads {
    () => {
        fn get<'a>(
            &'a mut self,
            key: &'a [u8],
            isolation: selvedge_cluster::store::Isolation,
        ) -> futures::future::BoxFuture<
            'a,
            Result<Option<bytes::Bytes>, selvedge_cluster::store::Error>,
        > {
            self.inner.get(key, isolation)
        }

        fn range<'a>(
            &'a mut self,
            range: selvedge_cluster::store::Range,
        ) -> futures::future::BoxFuture<
            'a,
            Result<selvedge_cluster::store::Pairs, selvedge_cluster::store::Error>,
        > {
            self.inner.range(range)
        }
    };
}

/// Writes of all sorts but the usual one, conflicts, and the version.
macro_rules! inner_writes {
    () => {
        fn clear(&mut self, key: &[u8]) {
            self.inner.clear(key);
        }

        fn clear_range(&mut self, begin: &[u8], end: &[u8]) {
            self.inner.clear_range(begin, end);
        }

        fn add(&mut self, key: &[u8], by: i64) {
            self.inner.add(key, by);
        }

        fn set_versionstamped_key(&mut self, prefix: &[u8], suffix: &[u8], value: &[u8]) {
            self.inner.set_versionstamped_key(prefix, suffix, value);
        }

        fn add_read_conflict(&mut self, key: &[u8]) {
            self.inner.add_read_conflict(key);
        }

        fn add_write_conflict(&mut self, key: &[u8]) {
            self.inner.add_write_conflict(key);
        }

        fn read_version(
            &mut self,
        ) -> futures::future::BoxFuture<
            '_,
            Result<selvedge_cluster::store::Version, selvedge_cluster::store::Error>,
        > {
            self.inner.read_version()
        }
    };
}

pub(crate) use {inner_reads, inner_writes};
