//! Lists, which come a page at a time.

use futures::{Stream, stream};
use serde::de::DeserializeOwned;

use super::{Client, error::ApiError};

/// A page of a list, as it is answered.
pub(super) trait Page: DeserializeOwned {
    type Item;

    /// What is on it, and the token of the next one.
    fn turn(self) -> (Vec<Self::Item>, Option<String>);
}

/// What is asked for beside the path.
pub(super) type Query = Vec<(&'static str, String)>;

impl Client {
    /// The pages of a list, in order; the next one is asked for when it is wanted.
    pub(super) fn pages<'a, P: Page + 'a>(
        &'a self,
        path: &'a [&'a str],
        query: Query,
    ) -> impl Stream<Item = Result<Vec<P::Item>, ApiError>> + 'a {
        stream::try_unfold(Some(String::new()), move |token| {
            let mut query = query.clone();
            async move {
                let Some(token) = token else { return Ok(None) };
                if !token.is_empty() {
                    query.push(("page_token", token.clone()));
                }
                let (items, next) = self.get::<P>(path, &query).await?.turn();
                // The API says "no more" by an empty token, too.
                let next = next.filter(|next| !next.is_empty());
                if next.as_ref() == Some(&token) {
                    return Err(ApiError::Unexpected("a list whose next page is the same page again".into()));
                }
                Ok(Some((items, next)))
            }
        })
    }
}
