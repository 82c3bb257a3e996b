use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use super::super::session::{Session, SessionError};
use super::fake::Runtime;
use super::*;

const ASKING: [(&str, &str); 1] = [("io.remora.trace", "exec")];

fn running(id: &str, annotations: &[(&str, &str)]) -> Container {
    Container { state: RUNNING, pid: 4711, ..container(id, annotations) }
}

fn sync(pods: &[PodSandbox], containers: &[Container], more: bool) -> SynchronizeRequest {
    let encode = |c: &Container| c.encode_to_vec().into();
    SynchronizeRequest {
        pods: pods.iter().map(|p| p.encode_to_vec().into()).collect(),
        containers: containers.iter().map(encode).collect(),
        more,
    }
}

/// How a session ends whose runtime does this after it took us on.
async fn end<F: Future<Output = Runtime>>(
    runtime: impl FnOnce(Runtime) -> F,
) -> (SessionError, News, Plugin) {
    let dir = tempfile::tempdir().unwrap();
    let (plugin, mut news, _rules) = plugin(dir.path());
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut session = Session::new(&plugin.0, ours);
    let talk = async {
        let mut other = Runtime::new(theirs);
        other.take_on().await;
        runtime(other).await
    };
    // The runtime's end of the socket stays open until the session ended.
    let (end, _open) = tokio::join!(session.run(), talk);
    drop(session);
    let told = news.try_recv().unwrap_or(News::Ended { id: String::new() });
    (end, told, plugin)
}

#[tokio::test]
async fn the_first_words_are_as_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let (plugin, _news, _rules) = plugin(dir.path());
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut session = Session::new(&plugin.0, ours);
    let expected = [
        b"\0\0\0\x02\0\0\0\x46".as_slice(),
        b"\0\0\0\x3c\0\0\0\x01\x01\0",
        b"\x0a\x1cnri.pkg.api.v1alpha1.Runtime",
        b"\x12\x0eRegisterPlugin",
        b"\x1a\x0c\x0a\x06remora\x12\x0242",
    ];
    let mut words = vec![0; expected.concat().len()];
    tokio::select! {
        end = session.run() => panic!("{end}"),
        read = theirs.read_exact(&mut words) => { read.unwrap(); }
    }
    assert_eq!(words, expected.concat());
}

#[tokio::test]
async fn a_runtime_creates_containers_and_shuts_down() {
    let (end, ..) = end(async |mut runtime| {
        let none: SynchronizeResponse = runtime.ask("Synchronize", &sync(&[], &[], false)).await;
        assert!(!none.more);
        let adjusted = runtime.create(container("a", &ASKING), Some(pod(&[], &[]))).await.unwrap();
        assert_eq!(adjusted.annotations["io.remora.trace"], "exec");
        assert_eq!(adjusted.hooks.unwrap().create_runtime.len(), 1);
        assert_eq!(runtime.create(container("b", &[]), Some(pod(&[], &[]))).await, None);
        let response = runtime.call("nri.pkg.api.v1alpha1.Plugin", "Shutdown", Vec::new()).await;
        assert_eq!(response.status, None);
        runtime
    })
    .await;
    assert!(matches!(end, SessionError::Shutdown), "{end}");
}

#[tokio::test]
async fn rules_count_as_they_are_when_a_container_is_created() {
    let dir = tempfile::tempdir().unwrap();
    let (plugin, _news, rules) = plugin(dir.path());
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut session = Session::new(&plugin.0, ours);
    let talk = async {
        let mut runtime = Runtime::new(theirs);
        assert_eq!(
            runtime.take_on().await,
            RegisterPluginRequest { name: "remora".into(), index: "42".into() }
        );
        assert_eq!(runtime.create(container("a", &[]), None).await, None);
        let all = Select { trace: "tcp".into(), ..Select::default() };
        rules.send_replace(Arc::new(Rules { select: vec![all], ..Rules::default() }));
        assert_eq!(
            runtime.create(container("b", &[]), None).await.unwrap().annotations["io.remora.trace"],
            "tcp"
        );
    };
    let (end, ()) = tokio::join!(session.run(), talk);
    assert!(matches!(end, SessionError::Closed), "{end}");
}

#[tokio::test]
async fn what_runs_already_is_told_however_it_is_divided() {
    let dir = tempfile::tempdir().unwrap();
    let (plugin, mut news, _rules) = plugin(dir.path());
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut session = Session::new(&plugin.0, ours);
    let talk = async {
        let mut runtime = Runtime::new(theirs);
        runtime.take_on().await;
        let stopped = Container { state: 4, ..running("stopped", &ASKING) };
        let first = [running("one", &ASKING), running("other", &[]), stopped];
        let answer: SynchronizeResponse = runtime.ask("Synchronize", &sync(&[], &first, true)).await;
        assert!(answer.more);
        let mut rest = sync(&[pod(&[], &[])], &[running("two", &ASKING)], false);
        rest.containers.insert(0, vec![0xff; 3].into());
        let _: SynchronizeResponse = runtime.ask("Synchronize", &rest).await;
        // Nobody takes the news, and still a container is answered for.
        assert!(runtime.create(container("new", &ASKING), None).await.is_some());
        let mut known = Vec::new();
        while known.len() < 2 {
            let News::Known(facts) = news.recv().await.unwrap() else { panic!("an end") };
            known.push(facts);
        }
        known
    };
    let (_, known) = tokio::join!(session.run(), talk);
    let expected = |id: &str| Facts {
        id: id.into(),
        name: "web".into(),
        annotations: labels(&ASKING),
        pod: Some(crate::oci::Pod { name: "web-0".into(), namespace: "prod".into(), uid: "u-1".into() }),
        pid: Some(4711),
        ..Facts::default()
    };
    assert_eq!(known, [expected("one"), expected("two")]);
    assert!(news.try_recv().is_err());
}

#[tokio::test]
async fn an_unknown_method_is_not_served_and_harms_nothing() {
    let (end, ..) = end(async |mut runtime| {
        for (service, method) in
            [("nri.pkg.api.v1alpha1.Plugin", "Launch"), ("Plugin", "CreateContainer"), ("", "")]
        {
            let response = runtime.call(service, method, vec![0xff]).await;
            assert_eq!(response.status.map(|s| s.code), Some(12), "{service}/{method}");
        }
        // Answers to nothing are nothing.
        runtime.send(1, 2, 9, b"\xff").await;
        assert!(runtime.create(container("a", &ASKING), None).await.is_some());
        runtime.socket.shutdown().await.unwrap();
        runtime
    })
    .await;
    assert!(matches!(end, SessionError::Closed), "{end}");
}

/// An error in the answer would keep the container from being created.
#[tokio::test]
async fn a_container_that_cannot_be_read_ends_the_connection() {
    for payload in [&b"\x12\x7f\x0a"[..], b"\xff\xff\xff", b"\x12\x04\x0a\x02\xff\xfe"] {
        let (end, ..) = end(async |mut runtime| {
            let service = PLUGIN_SERVICE;
            let method = "CreateContainer".into();
            let request =
                ttrpc::Request { service: service.into(), method, payload: payload.to_vec().into() };
            runtime.send(1, 1, 9, &request.encode_to_vec()).await;
            runtime
        })
        .await;
        assert!(matches!(end, SessionError::Unreadable { what: "container", .. }), "{end}");
    }
}

#[tokio::test]
async fn garbage_ends_the_connection() {
    for garbage in [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"\0\0\0\x01\xff\xff\xff\xff", &[0; 64]] {
        let (end, ..) = end(async |mut runtime| {
            runtime.socket.write_all(garbage).await.unwrap();
            runtime
        })
        .await;
        assert!(matches!(end, SessionError::Wire(_)) && !end.is_ordinary(), "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_message_is_waited_for_a_while_and_silence_for_ever() {
    let (end, ..) = end(async |mut runtime| {
        // As long as a stopped runtime may be.
        sleep(Duration::from_secs(3600)).await;
        assert!(runtime.create(container("a", &ASKING), None).await.is_some());
        runtime.socket.write_all(b"\0\0\0\x01\0\0\0\x20half").await.unwrap();
        runtime
    })
    .await;
    assert!(matches!(end, SessionError::Late("end what it began")), "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_does_not_take_us_on_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let (plugin, _news, _rules) = plugin(dir.path());
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let end = Session::new(&plugin.0, ours).run().await;
    assert!(matches!(end, SessionError::Late("take us on")), "{end}");

    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut session = Session::new(&plugin.0, ours);
    let status = ttrpc::Status { code: 2, message: "invalid plugin index".into() };
    let response = ttrpc::Response { status: Some(status), ..Default::default() };
    let mut runtime = Runtime::new(theirs);
    runtime.send(2, 2, 1, &response.encode_to_vec()).await;
    let end = session.run().await;
    assert!(matches!(&end, SessionError::Refused(why, 2) if why.contains("index")), "{end}");
}

/// A runtime that takes nothing off the socket and asks on and on does not make us grow.
#[tokio::test(start_paused = true)]
async fn a_runtime_that_does_not_read_is_left() {
    let (end, ..) = end(async |mut runtime| {
        let ask = ttrpc::Request {
            service: "nri.pkg.api.v1alpha1.Plugin".into(),
            method: "Nothing".into(),
            ..Default::default()
        };
        let ask = ask.encode_to_vec();
        let flood = async {
            loop {
                runtime.send(1, 1, 1, &ask).await;
            }
        };
        let _ = timeout(Duration::from_secs(2), flood).await;
        runtime
    })
    .await;
    assert!(matches!(end, SessionError::Late("read what we wrote")), "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_comes_late_or_restarts_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let (plugin, _news, _rules) = plugin(dir.path());
    let socket = dir.path().join("nri.sock");
    let runtimes = async {
        // Nothing there, then a file that nobody listens on, then runtimes that end in each way.
        sleep(Duration::from_secs(60)).await;
        drop(UnixListener::bind(&socket).unwrap());
        sleep(Duration::from_secs(60)).await;
        for garbage in [&b""[..], b"garbage that is no frame", b""] {
            fs::remove_file(&socket).unwrap();
            let listener = UnixListener::bind(&socket).unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let mut runtime = Runtime::new(stream);
            runtime.take_on().await;
            assert!(runtime.create(container("a", &ASKING), None).await.is_some());
            runtime.socket.write_all(garbage).await.unwrap();
        }
    };
    tokio::select! {
        () = plugin.run() => {}
        () = runtimes => {}
    }
}
