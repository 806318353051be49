//! A test guest that returns the files that it can read, by WASI 0.2 and by WASI 0.3, and tries to
//! write some. It rejects each record of Kafka whose value is not the name of a file.

use std::fmt::Debug;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use spin_kafka_sdk::{self as kafka, Batch, Failure, Rejection};
use spin_sdk::http::{Error, Request};
use spin_sdk::http_service;
use spin_sdk::wasip3::filesystem::preopens::get_directories;
use spin_sdk::wasip3::filesystem::types::{DescriptorFlags, ErrorCode, OpenFlags, PathFlags};

#[http_service]
async fn handle(request: Request) -> Result<Response<Full<Bytes>>, Error> {
    let path = request.uri().path();
    Ok(match path.split_at(path.match_indices('/').nth(1).map_or(path.len(), |(at, _)| at)) {
        // The standard library uses WASI 0.2.
        ("/p2", path) => answer(std::fs::read(path)),
        ("/p3", path) => answer(read(path.trim_start_matches('/')).await),
        ("/write", path) => answer(std::fs::write(path, "written").map(|()| "done")),
        ("/remove", path) => answer(std::fs::remove_file(path).map(|()| "done")),
        ("/link", path) => {
            answer(std::fs::hard_link(path, format!("{path}.link")).map(|()| "done"))
        }
        ("/parent", path) => answer(std::fs::read(format!("/..{path}"))),
        _ => answer(Ok::<_, ErrorCode>("reads-files")),
    })
}

#[kafka::batch]
async fn check(batch: &Batch) -> Result<Vec<Rejection>, Failure> {
    let missing = batch.records().iter().filter_map(|record| {
        let name = String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned();
        let error = std::fs::read(name).err()?;
        Some(record.reject(format!("{error:?}")))
    });
    Ok(missing.collect())
}

async fn read(path: &str) -> Result<Vec<u8>, ErrorCode> {
    let folders = get_directories();
    let (folder, _) = folders.iter().find(|(_, name)| name == "/").ok_or(ErrorCode::NoEntry)?;
    let (flags, read) = (PathFlags::SYMLINK_FOLLOW, DescriptorFlags::READ);
    let file = folder.open_at(flags, path.into(), OpenFlags::empty(), read).await?;
    let (content, end) = file.read_via_stream(0);
    let content = content.collect().await;
    end.await.map(|()| content)
}

/// The content, or 403 with the error.
fn answer(result: Result<impl Into<Bytes>, impl Debug>) -> Response<Full<Bytes>> {
    match result {
        Ok(content) => Response::new(Full::from(content.into())),
        Err(error) => {
            let mut response = Response::new(Full::from(format!("{error:?}")));
            *response.status_mut() = StatusCode::FORBIDDEN;
            response
        }
    }
}
