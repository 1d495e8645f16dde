"""checkpoint_folder: files of a checkpoint from anywhere, side by side in one folder.

Each file is a link of its own, an action without cost; so what uses the folder has the files as its inputs, one by one,
for a cache and for a remote worker.
"""

def _checkpoint_folder_impl(ctx):
    links = []
    for file in ctx.files.files:
        link = ctx.actions.declare_file(ctx.label.name + "/" + file.basename)
        ctx.actions.symlink(output = link, target_file = file, progress_message = "Placing %{output}")
        links.append(link)
    return [DefaultInfo(files = depset(links), runfiles = ctx.runfiles(files = links))]

checkpoint_folder = rule(
    doc = "A folder of a checkpoint's files, which may come from different repositories.",
    implementation = _checkpoint_folder_impl,
    attrs = {"files": attr.label_list(doc = "Files of different names.", allow_files = True, mandatory = True)},
)
