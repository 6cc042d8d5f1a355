//! Resume formats: all of them yield the same sections, and invalid files are rejected.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed helper should fail the test"
)]

use std::fs;
use std::path::{Path, PathBuf};

use resume_chatbot::resume::{Document, MAX_FILE_BYTES, ResumeError, load};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/resumes").join(name)
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/resumes").join(name)
}

fn every_format() -> Vec<(PathBuf, Document)> {
    let paths = [
        example("sample.md"),
        example("sample.json"),
        fixture("sample.txt"),
        fixture("sample.docx"),
        fixture("sample.pdf"),
    ];
    let load = |path: PathBuf| {
        let document = load(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, document)
    };
    paths.into_iter().map(load).collect()
}

/// Writes a file into a temporary directory. Dropping the directory deletes it.
fn write_file(name: &str, content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    (folder, path)
}

fn load_error(name: &str, content: &[u8]) -> ResumeError {
    let (_folder, path) = write_file(name, content);
    load(&path).expect_err(name)
}

#[test]
fn every_format_yields_the_same_name_and_facts() {
    const FACTS: [&str; 16] = [
        "mara@lindqvist.example",
        "+46 31 390 06 12",
        "Backend engineer with 12 years of experience in payments and logistics.",
        "I like small teams, written decisions and measured results, and I have mentored seven engineers into senior roles.",
        "Halden Pay",
        "March 2021 – present",
        "fell from 480 ms to 35 ms, and monthly hosting cost by 41%.",
        "Fjordline Freight",
        "August 2016 – February 2021",
        "- Organised the internal Rust course; 46 colleagues took part.",
        "Brightquay Software",
        "September 2013 – July 2016",
        "Ledgerfuzz",
        "University of Vänern",
        "property-based testing, capacity planning, incident response, technical writing",
        "Certified Kubernetes Administrator",
    ];
    for (path, document) in every_format() {
        assert_eq!(document.name, "Mara Lindqvist", "{}", path.display());
        let text = document.to_markdown();
        for fact in FACTS {
            assert!(text.contains(fact), "{} lacks {fact:?}:\n{text}", path.display());
        }
    }
}

#[test]
fn every_format_yields_the_sections_in_order() {
    for (path, document) in every_format() {
        let titles: Vec<String> = document
            .sections
            .iter()
            .filter(|section| section.level == 1)
            .map(|section| section.title.to_lowercase())
            .collect();
        let position = |name: &str| titles.iter().position(|title| title.contains(name));
        let expected =
            ["about", "summary", "experience", "projects", "education", "skills", "languages", "certific"];
        let positions: Vec<Option<usize>> = expected.iter().map(|name| position(name)).collect();
        assert!(positions.iter().all(Option::is_some), "{}: {titles:?}", path.display());
        assert!(positions.is_sorted(), "{}: {titles:?}", path.display());
    }
}

#[test]
fn employers_are_separate_sections_except_in_plain_text() {
    for (path, document) in every_format() {
        if path.extension().is_some_and(|extension| extension == "txt") {
            continue;
        }
        let halden = document
            .sections
            .iter()
            .find(|section| section.level == 2 && section.title.contains("Halden Pay"));
        let halden = halden.unwrap_or_else(|| panic!("{} has no section for the employer", path.display()));
        assert_eq!(
            halden.text.lines().filter(|line| line.starts_with("- ")).count(),
            4,
            "{}: {halden:?}",
            path.display()
        );
        assert!(
            halden.text.contains("Card and bank payments for 3,400 web shops in the Nordic countries.\n")
        );
        assert!(!halden.text.contains("Fjordline"));
    }
}

#[test]
fn pdf_footers_and_page_numbers_are_removed() {
    let text = load(&fixture("sample.pdf")).unwrap().to_markdown();
    assert!(!text.contains("Page 1") && !text.contains("| Resume"), "{text}");
}

#[test]
fn json_resume_sections_are_all_read() {
    let text = load(&example("sample.json")).unwrap().to_markdown();
    for fact in [
        "- GitHub: maralindqvist, https://github.example/maralindqvist",
        "- Location: Gothenburg, Västra Götaland, SE",
        "### Course leader, Kodstugan",
        "- Thesis prize, Chalmersholm University, 10 June 2013. For the thesis on exactly-once delivery.",
        "- Ledgers that cannot lie, Nordic Systems Conference, 5 October 2023",
        "- Sailing: coastal navigation, old wooden boats",
        "- Jonas Ek, Halden Pay: Mara is the person",
        "- Swedish: native",
    ] {
        assert!(text.contains(fact), "lacks {fact:?}:\n{text}");
    }
}

#[test]
fn revision_depends_only_on_the_content() {
    assert_eq!(
        load(&example("sample.md")).unwrap().revision(),
        load(&example("sample.md")).unwrap().revision()
    );
}

#[test]
fn path_without_a_file_is_rejected() {
    assert!(matches!(load(&fixture("nobody.md")), Err(ResumeError::NotFound)));
    assert!(matches!(load(&fixture("sample.md/inside.md")), Err(ResumeError::NotFound)));

    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(load(folder.path()), Err(ResumeError::IsFolder)));
}

#[cfg(unix)]
#[test]
fn devices_and_sockets_are_rejected_without_reading() {
    let folder = tempfile::tempdir().unwrap();

    let zeros = folder.path().join("zeros.md");
    std::os::unix::fs::symlink("/dev/zero", &zeros).unwrap();
    assert!(matches!(load(&zeros), Err(ResumeError::NotRegular)));

    let socket = folder.path().join("socket.md");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert!(matches!(load(&socket), Err(ResumeError::NotRegular)));
}

#[test]
fn files_without_text_are_rejected() {
    for (name, content) in [
        ("a.md", ""),
        ("a.txt", " \n\t\n"),
        ("a.md", "# \n\n---\n"),
        ("a.json", "  "),
        ("a.json", "{\"work\":[]}"),
    ] {
        assert!(matches!(load_error(name, content.as_bytes()), ResumeError::Empty), "{name} {content:?}");
    }
}

#[test]
fn large_file_is_rejected_by_its_size() {
    let (_folder, path) = write_file("big.md", b"# Mara");
    let size = 200 * 1024 * 1024;
    fs::File::options().write(true).open(&path).unwrap().set_len(size).unwrap();

    assert!(matches!(load(&path), Err(ResumeError::TooLarge { size: reported }) if reported == size));
    assert!(size > MAX_FILE_BYTES);
}

#[test]
fn unknown_extension_is_rejected_with_the_supported_ones() {
    let message = load_error("cv.odt", b"x").to_string();
    assert!(
        message.contains("`.odt`") && message.contains(".docx") && message.contains(".json"),
        "{message}"
    );
    assert!(matches!(load_error("cv", b"x"), ResumeError::UnknownExtension { .. }));
}

#[test]
fn text_in_another_encoding_is_rejected_with_details() {
    assert!(matches!(load(&fixture("not_utf8.md")), Err(ResumeError::NotUtf8 { offset: 52 })));
    assert!(load_error("cv.txt", b"\xFF\xFEM\0a\0").to_string().contains("UTF-16"));

    let (_folder, path) = write_file("cv.md", b"\xEF\xBB\xBF# Mara\n\nhello\n");
    assert_eq!(load(&path).unwrap().name, "Mara");
}

#[test]
fn invalid_json_resume_is_rejected() {
    assert!(matches!(load(&fixture("not_a_resume.json")), Err(ResumeError::NotJsonResume)));
    assert!(matches!(load_error("cv.json", b"{\n\"basics\": {\n"), ResumeError::InvalidJson { line: 3, .. }));
    assert!(matches!(
        load_error("cv.json", &b"[".repeat(100_000)),
        ResumeError::InvalidJson { .. } | ResumeError::JsonShape { .. }
    ));
}

#[test]
fn unreadable_pdfs_are_rejected_with_a_reason() {
    assert!(matches!(load(&fixture("encrypted.pdf")), Err(ResumeError::Encrypted)));
    assert!(matches!(load(&fixture("image_only.pdf")), Err(ResumeError::NoTextInPdf)));
    assert!(matches!(load(&fixture("damaged.pdf")), Err(ResumeError::Damaged { format: "PDF", .. })));
    assert!(load_error("cv.pdf", b"# Mara").to_string().contains("%PDF-"));
    assert!(matches!(load_error("cv.pdf", b"%PDF-1.7\n"), ResumeError::Damaged { .. }));
}

#[test]
fn content_that_does_not_match_the_extension_is_rejected() {
    let pdf = fs::read(fixture("sample.pdf")).unwrap();
    let docx = fs::read(fixture("sample.docx")).unwrap();

    for (name, content) in
        [("a.md", &pdf), ("a.docx", &pdf), ("a.txt", &docx), ("a.pdf", &docx), ("a.json", &docx)]
    {
        assert!(matches!(load_error(name, content), ResumeError::WrongContent { .. }), "{name}");
    }
}

#[test]
fn truncated_or_foreign_docx_is_rejected() {
    let docx = fs::read(fixture("sample.docx")).unwrap();
    assert!(matches!(
        load_error("a.docx", &docx[..docx.len() / 2]),
        ResumeError::Damaged { format: "DOCX", .. }
    ));

    let message = load_error("a.docx", &archive("other.txt", 10)).to_string();
    assert!(message.contains("word/document.xml"), "{message}");
}

#[test]
fn docx_zip_bomb_is_rejected() {
    let bomb = archive("word/document.xml", 40 * 1024 * 1024);
    assert!(bomb.len() < 100_000);
    assert!(matches!(load_error("a.docx", &bomb), ResumeError::UnpacksTooLarge { format: "DOCX", .. }));
}

/// Creates a ZIP archive with one entry of `size` spaces.
fn archive(entry: &str, size: usize) -> Vec<u8> {
    use std::io::Write;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file(entry, zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(&vec![b' '; size]).unwrap();
    writer.finish().unwrap().into_inner()
}

#[test]
fn pdf_with_a_recursive_form_is_read() {
    let stream = |dictionary: &str, content: &str| {
        format!("<<{dictionary}/Length {}>>stream\n{content}\nendstream", content.len())
    };
    let objects = [
        "<</Type/Catalog/Pages 2 0 R>>".to_owned(),
        "<</Type/Pages/Kids[3 0 R]/Count 1>>".to_owned(),
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<</XObject<</X 5 0 R>>/Font<</F 6 0 R>>>>>>"
            .to_owned(),
        stream("", "BT /F 12 Tf 50 700 Td (Led the ledger in 2021.) Tj ET /X Do"),
        stream("/Type/XObject/Subtype/Form/BBox[0 0 600 800]/Resources<</XObject<</X 5 0 R>>>>", "/X Do /X Do"),
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>".to_owned(),
    ];

    let mut pdf = b"%PDF-1.4\n".to_vec();
    let mut offsets = Vec::new();

    for (index, object) in objects.iter().enumerate() {
        offsets.push(pdf.len());
        pdf.extend(format!("{} 0 obj\n{object}\nendobj\n", index + 1).bytes());
    }

    let start = pdf.len();
    pdf.extend(b"xref\n0 7\n0000000000 65535 f \n");
    offsets.iter().for_each(|offset| pdf.extend(format!("{offset:010} 00000 n \n").bytes()));
    pdf.extend(format!("trailer<</Size 7/Root 1 0 R>>\nstartxref\n{start}\n%%EOF\n").bytes());
    let (_folder, path) = write_file("loop.pdf", &pdf);

    assert!(load(&path).unwrap().to_markdown().contains("Led the ledger in 2021."));
}
