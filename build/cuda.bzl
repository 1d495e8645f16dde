"""CUDA: `cuda_module` compiles kernels with @cuda_toolkit's nvcc, `gpu_test` is a test of what runs on a GPU.

A library of kernels links into any C++ program; the program starts on a machine without GPU or driver, where CUDA calls
return errors. What must stay true: the same inputs give the same bytes, so nvcc's temporary names, which would end up
in symbols, are those of the source (--objdir-as-tempdir, -frandom-seed), and so is the path that it makes names of,
which would be that of a sandbox (--orig_src_path_name).
"""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load("@bazel_skylib//rules:native_binary.bzl", "native_test")
load("@rules_cc//cc:find_cc_toolchain.bzl", "find_cc_toolchain", "use_cc_toolchain")
load("@rules_cc//cc/common:cc_common.bzl", "cc_common")
load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")
load("//build/cc:cc.bzl", "cc_binary", "cc_library", "cc_test")

# 128: a loop in a template that some layouts never reach.
_FLAGS = ["-std=c++20", "-O3", "--expt-relaxed-constexpr", "-Werror", "all-warnings", "-diag-suppress=128"]

def _code_generation(architecture):
    # PTX, which drivers compile for any later GPU, or machine code.
    if architecture.startswith("compute_"):
        return ["-gencode", "arch=%s,code=%s" % (architecture, architecture)]
    target = "arch=compute_%s,code=sm_%s" % (architecture, architecture)
    return ["-gencode", target]

def _include_flags(context):
    folders = depset(transitive = [context.quote_includes, context.includes]).to_list()
    system = depset(transitive = [context.system_includes, context.external_includes]).to_list()
    return ["-I" + folder for folder in folders] + ["-isystem=" + folder for folder in system]

def _compile(ctx, source, context, compiler):
    name = source.basename.removesuffix(".cu")

    # A folder for each source: nvcc puts its temporary files beside the output.
    output = ctx.actions.declare_file("%s_objects/%s/%s.pic.o" % (ctx.label.name, name, name))
    arguments = ctx.actions.args()
    arguments.add_all(_FLAGS + ctx.attr.copts)
    for architecture in ctx.attr._architectures[BuildSettingInfo].value:
        arguments.add_all(_code_generation(architecture))
    if ctx.attr._debug_waits[BuildSettingInfo].value:
        arguments.add("-DGEMMA_DEBUG_WAITS")
    arguments.add_all(["-ccbin", compiler, "--objdir-as-tempdir"])
    arguments.add("-Xcompiler=-fPIC,-frandom-seed=%s" % source.short_path)
    arguments.add("-Xcudafe=--orig_src_path_name=%s" % source.short_path)
    arguments.add_all(_include_flags(context))
    arguments.add_all(["-c", source, "-o", output])

    # Precompiled headers are gcc's.
    headers = [header for header in context.headers.to_list() if header.extension != "gch"]
    ctx.actions.run(
        executable = ctx.file._nvcc,
        arguments = [arguments],
        inputs = depset([source] + headers, transitive = [depset(ctx.files._nvcc_files)]),
        tools = [ctx.file._nvcc],
        outputs = [output],
        # nvcc finds the host compiler's own parts through the PATH.
        env = {"PATH": "/usr/bin:/bin"},
        mnemonic = "CudaCompile",
        progress_message = "Compiling CUDA " + source.short_path,
    )
    return output

def _cuda_objects_impl(ctx):
    compiler = find_cc_toolchain(ctx).compiler_executable
    contexts = [dep[CcInfo].compilation_context for dep in ctx.attr.deps]
    context = cc_common.merge_compilation_contexts(compilation_contexts = contexts)
    return [DefaultInfo(files = depset([_compile(ctx, source, context, compiler) for source in ctx.files.srcs]))]

_cuda_objects = rule(
    implementation = _cuda_objects_impl,
    attrs = {
        "copts": attr.string_list(doc = "Of nvcc."),
        "deps": attr.label_list(providers = [CcInfo]),
        "srcs": attr.label_list(allow_files = [".cu"]),
        "_architectures": attr.label(default = "//build/cuda:architectures"),
        "_debug_waits": attr.label(default = "//build/cuda:debug_waits"),
        "_nvcc": attr.label(default = "@cuda_toolkit//:nvcc", allow_single_file = True, cfg = "exec"),
        "_nvcc_files": attr.label(default = "@cuda_toolkit//:nvcc_files", cfg = "exec"),
    },
    toolchains = use_cc_toolchain(),
    fragments = ["cpp"],
)

def _emulated(label):
    """The label of a module's emulated form."""
    package, colon, name = label.rpartition(":")
    if not colon:
        fail("%s: write the target's name" % label)
    return package + ":emulated_" + name

def cuda_module(name, srcs = [], hdrs = [], deps = [], cuda_deps = [], copts = [], visibility = None, **kwargs):
    """C++ that calls CUDA, and CUDA kernels, each in two forms: for a GPU, and for the CPU by emulation.

    `compiled_` + name is for a GPU: nvcc compiles its kernels. `emulated_` + name is the same sources as C++ for the CPU,
    which //cc/kernels/cuda/emulation runs block by block; tests name it. `name` is the compiled one, or, where
    --//build/cuda:kernels=emulated says so, the emulated one, so that all of //cc can be built without nvcc (sanitizers);
    such programs find no GPU. //... builds `name` alone, and of the other forms what some target needs.

    Args:
      name: the module.
      srcs: .cu and .cc files.
      hdrs: its headers; .cu files see these and the headers of `deps` and `cuda_deps`.
      deps: libraries that are the same in both forms.
      cuda_deps: other modules of this kind.
      copts: of both forms.
      visibility: of all forms.
      **kwargs: passed on to cc_library.
    """
    kernels = [src for src in srcs if src.endswith(".cu")]
    others = [src for src in srcs if not src.endswith(".cu")]
    compiled_deps = deps + cuda_deps + ["@cuda_toolkit//:cudart_static"]
    if kernels:
        cc_library(name = name + "_headers", hdrs = hdrs, deps = compiled_deps, **kwargs)
        _cuda_objects(
            name = name + "_objects",
            srcs = kernels,
            copts = select({
                "//build/cuda:never_run": ["--Ofast-compile=max"],
                "//conditions:default": [],
            }),
            deps = [":" + name + "_headers"],
            **kwargs
        )
    cc_library(
        name = "compiled_" + name,
        srcs = others + ([":" + name + "_objects"] if kernels else []),
        hdrs = hdrs,
        copts = copts,
        visibility = visibility,
        deps = compiled_deps,
        **kwargs
    )
    for kernel in kernels:
        native.genrule(name = kernel + "_as_cc", srcs = [kernel], outs = [kernel + ".cc"], cmd = "cp $< $@", **kwargs)
    cc_library(
        name = "emulated_" + name,
        srcs = others + [kernel + ".cc" for kernel in kernels],
        hdrs = hdrs,
        copts = copts + ["-Wno-unknown-pragmas"],
        tags = ["manual"],
        visibility = visibility,
        deps = deps + [_emulated(dep) for dep in cuda_deps] + ["//cc/kernels/cuda/emulation"],
        **kwargs
    )
    native.alias(
        name = name,
        actual = select({
            "//build/cuda:emulated": ":emulated_" + name,
            "//conditions:default": ":compiled_" + name,
        }),
        visibility = visibility,
        **kwargs
    )

def cuda_test(name, srcs, deps = [], cuda_deps = [], size = "medium", visibility = None, shard_count = None):
    """A test of modules on a GPU, and, as `emulated_` + name, tagged `emulated`, of the same on the CPU.

    Args:
      name: the test.
      srcs: its sources.
      deps: libraries that are the same in both forms.
      cuda_deps: cuda_modules.
      size: of the test on a GPU; emulated it is large.
      visibility: of the test on a GPU.
      shard_count: of the emulated test.
    """
    gpu_test(
        name = name,
        size = size,
        srcs = srcs,
        visibility = visibility,
        deps = deps + cuda_deps,
    )
    cc_test(
        name = "emulated_" + name,
        size = "large",
        srcs = srcs,
        copts = ["-Wno-unknown-pragmas"],
        shard_count = shard_count,
        tags = ["emulated"],
        deps = deps + [_emulated(dep) for dep in cuda_deps] + ["@googletest//:gtest_main"],
    )

def gpu_test(name, deps = [], size = "medium", tags = [], visibility = None, **kwargs):
    """A test on gtest that needs a GPU: NAME_program is built everywhere; Bazel skips NAME, which runs it, without a GPU.

    A test that was started fails where no GPU can be used, so none ever passes without one.

    Args:
      name: the test.
      deps: C++ libraries; the main function comes from here.
      size: size of the test.
      tags: tags of the test; `gpu` is added.
      visibility: visibility of the test and of its program.
      **kwargs: passed on to cc_binary.
    """
    cc_binary(
        name = name + "_program",
        testonly = True,
        visibility = visibility,
        deps = deps + ["//build/gpu:test_main"],
        **kwargs
    )
    native_test(
        name = name,
        size = size,
        src = name + "_program",
        out = name,
        tags = tags + ["gpu"],
        target_compatible_with = select({
            "@local_gpu//:is_present": [],
            "//conditions:default": ["@platforms//:incompatible"],
        }),
        visibility = visibility,
    )
