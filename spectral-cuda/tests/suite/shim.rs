//! A device that is the CPU: every kernel compiled as C++, its threads run one after the other.

use libloading::Library;
use spectral_core::{DType, Error, Result};
use spectral_cuda::{Address, Arg, Device, Launch, Source};
use std::alloc::{Layout, alloc, dealloc};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, c_char};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Kernels use variables of their library for the threads of a block, so one runs at a time.
static RUNNING: Mutex<()> = Mutex::new(());

/// Libraries that tests of this program compile: each is compiled once.
static COMPILING: Mutex<BTreeMap<PathBuf, Arc<Mutex<()>>>> = Mutex::new(BTreeMap::new());

/// Changes the text of a file of kernels before it is compiled.
pub(crate) type Change = fn(Source, String) -> String;

#[derive(Debug)]
pub(crate) struct Shim {
    compiler: String,
    change: Change,
    libraries: Mutex<HashMap<(Source, DType), Library>>,
    allocated: Mutex<HashMap<Address, Layout>>,
}

type Run = unsafe extern "C" fn(*const u32, *const u64) -> i32;
type Parameters = unsafe extern "C" fn() -> *const c_char;

impl Shim {
    /// The device, with kernels changed by `change`, if there is a C++ compiler.
    pub(crate) fn new(change: Change) -> Option<Self> {
        let own = std::env::var("CXX").ok();
        let known = ["c++", "g++", "clang++"].map(str::to_string);
        let works = |c: &String| Command::new(c).arg("--version").output().is_ok_and(|o| o.status.success());
        let compiler = own.into_iter().chain(known).find(works)?;
        Some(Self { compiler, change, libraries: Mutex::default(), allocated: Mutex::default() })
    }

    /// The library of a file, compiled if none of the same text is there.
    fn compile(&self, source: Source, dtype: DType) -> Result<PathBuf> {
        let kernels = (self.change)(source, source.text(dtype));
        let exports: String = Source::kernels(&kernels).map(|name| format!("EXPORT({name})\n")).collect();
        let text = format!("{}\n{kernels}\n{exports}", include_str!("shim.hpp"));
        let mut hasher = DefaultHasher::new();
        (&text, &self.compiler).hash(&mut hasher);
        let name = format!("{}-{dtype}-{:016x}", source.name(), hasher.finish());
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.so"));
        let one = lock(&COMPILING).entry(library.clone()).or_default().clone();
        let _one = lock(&one);
        if library.exists() {
            return Ok(library);
        }
        let own = library.with_extension(format!("{}", std::process::id()));
        let file = own.with_extension(format!("{}.cpp", std::process::id()));
        std::fs::write(&file, text).map_err(|e| failed(e.to_string()))?;
        let options = ["-std=c++20", "-O2", "-fPIC", "-shared", "-Wno-unknown-pragmas", "-Wno-dangling-pointer", "-o"];
        let output = Command::new(&self.compiler).args(options).arg(&own).arg(&file).output();
        let output = output.map_err(|e| failed(e.to_string()))?;
        let log = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(failed(format!("{} of {name} failed:\n{log}", self.compiler)));
        }
        // Complete or not at all, whatever other program compiles the same.
        let moved = std::fs::rename(&own, &library).and_then(|()| std::fs::remove_file(&file));
        moved.map_err(|e| failed(e.to_string()))?;
        Ok(library)
    }
}

fn failed(problem: String) -> Error {
    Error::Backend { backend: "cuda".into(), problem }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn kind(arg: &Arg) -> char {
    match arg {
        Arg::Address(_) => 'p',
        Arg::Int(_) => 'i',
        Arg::Bits(_) => 'u',
        Arg::Real(_) => 'd',
    }
}

impl Device for Shim {
    fn describe(&self) -> String {
        format!("kernels compiled by {}, run on the CPU", self.compiler)
    }

    fn place(&self) -> String {
        "shim".into()
    }

    fn allocate(&self, bytes: usize) -> Result<Address> {
        let layout = Layout::from_size_align(bytes, 256).map_err(|e| failed(e.to_string()))?;
        // SAFETY: the size is not 0.
        let memory = unsafe { alloc(layout) };
        if memory.is_null() {
            return Err(failed(format!("no memory for {bytes} bytes")));
        }
        // SAFETY: that is all of the memory. The bytes are NaN, so that reading them before writing shows.
        unsafe { memory.write_bytes(0xff, bytes) };
        lock(&self.allocated).insert(memory as Address, layout);
        Ok(memory as Address)
    }

    unsafe fn free(&self, at: Address) {
        let layout = lock(&self.allocated).remove(&at);
        let Some(layout) = layout else { panic!("{at:#x} is no memory of this device") };
        // SAFETY: it was allocated with this layout.
        unsafe { dealloc(at as *mut u8, layout) };
    }

    unsafe fn write(&self, from: &[u8], to: Address) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { (to as *mut u8).copy_from(from.as_ptr(), from.len()) };
        Ok(())
    }

    unsafe fn read(&self, from: Address, to: &mut [u8]) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { to.as_mut_ptr().copy_from(from as *const u8, to.len()) };
        Ok(())
    }

    unsafe fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { (to as *mut u8).copy_from(from as *const u8, bytes) };
        Ok(())
    }

    unsafe fn zero(&self, at: Address, bytes: usize) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { (at as *mut u8).write_bytes(0, bytes) };
        Ok(())
    }

    unsafe fn launch(&self, launch: &Launch<'_>) -> Result<()> {
        let kernel = launch.kernel;
        let mut libraries = lock(&self.libraries);
        let library = match libraries.entry((kernel.source, kernel.dtype)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let path = self.compile(kernel.source, kernel.dtype)?;
                // SAFETY: the library has no initialisers but those of plain variables.
                new.insert(unsafe { Library::new(&path) }.map_err(|e| failed(e.to_string()))?)
            }
        };
        let symbol = |prefix: &str| format!("{prefix}{}\0", kernel.name);
        // SAFETY: `EXPORT` in shim.hpp makes both with these types.
        let (run, parameters) = unsafe {
            let run = library.get::<Run>(symbol("shim_").as_bytes());
            (run, library.get::<Parameters>(symbol("shim_parameters_").as_bytes()))
        };
        let run = run.map_err(|e| failed(format!("{kernel:?}: {e}")))?;
        let parameters = parameters.map_err(|e| failed(format!("{kernel:?}: {e}")))?;
        // SAFETY: it returns a constant that ends with 0.
        let expected = unsafe { CStr::from_ptr(parameters()) }.to_string_lossy();
        let given: String = launch.args.iter().map(kind).collect();
        assert_eq!(given, expected, "arguments of {kernel:?}");
        let words: Vec<u64> = launch.args.iter().map(|a| a.word()).collect();
        let _alone = lock(&RUNNING);
        // SAFETY: the arguments are of the kernel's kinds, as just checked, and fit by the caller's promise.
        match unsafe { run(launch.grid.as_ptr(), words.as_ptr()) } {
            0 => Ok(()),
            _ => Err(failed(format!("{}: threads wait for each other in vain", kernel.name))),
        }
    }

    fn synchronize(&self) -> Result<()> {
        Ok(())
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        assert!(lock(&self.allocated).is_empty(), "memory was not given back");
    }
}
