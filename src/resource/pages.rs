//! All pages of what EC2 lists.

/// All that a list's calls answer: `all_pages!("DescribeVolumes", "find volumes", call, volumes)`.
macro_rules! all_pages {
    ($action:literal, $tried:literal, $call:expr, $list:ident) => {{
        let (mut all, mut pages) = (Vec::new(), $call.into_paginator().send());
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| crate::connection::api_error::failed($action, $tried, e))?;
            all.extend(page.$list.unwrap_or_default());
        }
        all
    }};
}
pub(super) use all_pages;
