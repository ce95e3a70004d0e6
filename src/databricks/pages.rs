//! Paged lists.

use futures::{Stream, stream};
use serde::de::DeserializeOwned;

use super::{Client, error::ApiError};

/// A page of a list in a response.
pub(super) trait Page: DeserializeOwned {
    type Item;

    /// Returns the items of the page, and the token of the next page.
    fn into_parts(self) -> (Vec<Self::Item>, Option<String>);
}

/// The query parameters of a request.
pub(super) type QueryString = Vec<(&'static str, String)>;

impl Client {
    /// Returns the pages of a list, in order. Requests a page when the stream is polled.
    pub(super) fn pages<'a, P: Page + 'a>(
        &'a self,
        path: &'a [&'a str],
        query: QueryString,
    ) -> impl Stream<Item = Result<Vec<P::Item>, ApiError>> + 'a {
        stream::try_unfold(Some(String::new()), move |token| {
            let mut query = query.clone();
            async move {
                let Some(token) = token else { return Ok(None) };
                if !token.is_empty() {
                    query.push(("page_token", token.clone()));
                }
                let (items, next) = self.get::<P>(path, &query).await?.into_parts();
                // An empty token also means that there are no more pages.
                let next = next.filter(|next| !next.is_empty());
                if next.as_ref() == Some(&token) {
                    return Err(ApiError::Unexpected("the next page of a list is the same page".into()));
                }
                Ok(Some((items, next)))
            }
        })
    }
}
