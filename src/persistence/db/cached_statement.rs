//! Statements that each connection prepares only once.
//!
//! Diesel caches prepared statements only for queries whose text is constant by their type. This
//! excludes every `INSERT` and `UPDATE`. The statements of this crate have constant texts. Marking
//! a query with a variable text would be harmless, because the cache is keyed by the text.

use diesel::QueryResult;
use diesel::backend::Backend;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};

/// A query with a constant text, which is always prepared and cached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AlwaysPrepared<Q>(pub(crate) Q);

impl<Q: QueryFragment<DB>, DB: Backend> QueryFragment<DB> for AlwaysPrepared<Q> {
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.0.walk_ast(pass)
    }

    fn is_safe_to_cache_prepared(&self, _: &DB) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<Q: Query> Query for AlwaysPrepared<Q> {
    type SqlType = Q::SqlType;
}

impl<Q> QueryId for AlwaysPrepared<Q> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}
