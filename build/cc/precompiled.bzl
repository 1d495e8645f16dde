"""precompiled_header: C++ headers that most of our sources include, parsed once instead of once a source.

A source whose options differ from the header's (-O, -fPIC, -fvisibility, ...) must not depend on one: gcc ignores a
header whose options it knows to differ, and may crash where it does not know.
"""

load("@rules_cc//cc:action_names.bzl", "ACTION_NAMES")
load("@rules_cc//cc:find_cc_toolchain.bzl", "find_cc_toolchain", "use_cc_toolchain")
load("@rules_cc//cc/common:cc_common.bzl", "cc_common")
load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")

def _flags(ctx, toolchain, context, source, output):
    """Returns the features of this compilation and its command line, which is that of a source but for the language."""
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    options = ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts + ctx.attr.copts
    variables = cc_common.create_compile_variables(
        feature_configuration = features,
        cc_toolchain = toolchain,
        source_file = source.path,
        output_file = output.path,
        use_pic = True,
        user_compile_flags = options + ["-x", "c++-header"],
        include_directories = context.includes,
        quote_include_directories = context.quote_includes,
        system_include_directories = depset(transitive = [context.system_includes, context.external_includes]),
        preprocessor_defines = context.defines,
    )
    return features, variables

def _precompiled_header_impl(ctx):
    toolchain = find_cc_toolchain(ctx)
    contexts = [dep[CcInfo].compilation_context for dep in ctx.attr.deps]
    context = cc_common.merge_compilation_contexts(compilation_contexts = contexts)
    header = ctx.actions.declare_file(ctx.label.name + ".h")
    compiled = ctx.actions.declare_file(ctx.label.name + ".h.gch")
    ctx.actions.write(header, "".join(["#include %s\n" % include for include in ctx.attr.includes]))
    features, variables = _flags(ctx, toolchain, context, header, compiled)
    ctx.actions.run(
        executable = toolchain.compiler_executable,
        arguments = cc_common.get_memory_inefficient_command_line(
            feature_configuration = features,
            action_name = ACTION_NAMES.cpp_compile,
            variables = variables,
        ),
        inputs = depset([header], transitive = [context.headers, toolchain.all_files]),
        outputs = [compiled],
        env = cc_common.get_environment_variables(
            feature_configuration = features,
            action_name = ACTION_NAMES.cpp_compile,
            variables = variables,
        ),
        mnemonic = "CppPrecompile",
        progress_message = "Precompiling " + header.short_path,
    )
    files = depset([header, compiled], transitive = [context.headers])
    return [
        DefaultInfo(files = depset([compiled])),
        CcInfo(compilation_context = cc_common.create_compilation_context(headers = files)),
    ]

precompiled_header = rule(
    doc = "NAME.h includes `includes`. What depends on it may be compiled with -include PACKAGE/NAME.h.",
    implementation = _precompiled_header_impl,
    attrs = {
        "copts": attr.string_list(doc = "Those of the sources that include it."),
        "deps": attr.label_list(doc = "The owners of the included headers; nothing is linked.", providers = [CcInfo]),
        "includes": attr.string_list(doc = "With quotes or angle brackets."),
    },
    provides = [CcInfo],
    toolchains = use_cc_toolchain(),
    fragments = ["cpp"],
)
