/**
 * The command line: picocli commands that turn arguments into a {@code TargetConfig} or run one tool.
 *
 * <p>Arguments enter, text and an exit code after sysexits.h leave. Ordinary threads only.
 */
@NullMarked
package io.vhostfs.cli;

import org.jspecify.annotations.NullMarked;
