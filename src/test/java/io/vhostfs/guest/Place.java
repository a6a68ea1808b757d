package io.vhostfs.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.fail;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.net.ConnectException;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * A program that does as it is told, line by line, in a guest or on the host. Its answers are told apart by the numbers of
 * the commands, so that it may be told more while a command waits.
 */
final class Place implements AutoCloseable {
    private static final long END_LIMIT_SECONDS = 60;

    private final String name;
    private final Lines lines;
    private final Writer commands;
    private final @Nullable Guest guest;
    private final @Nullable Process process;
    private int lastNumber;

    private Place(String name, Lines lines, Writer commands, @Nullable Guest guest, @Nullable Process process) {
        this.name = name;
        this.lines = lines;
        this.commands = commands;
        this.guest = guest;
        this.process = process;
    }

    /** Boots a guest; returns when QEMU runs. Its program is ready later. */
    static Place inGuest(String name, Path directory, long limitSeconds, List<String> options, List<String> script)
            throws IOException, InterruptedException {
        Path socket = directory.resolve(name + ".commands");
        List<String> all = new ArrayList<>(options);
        all.addAll(List.of("--port", "commands=" + socket));
        Guest guest = Guest.boot(name, limitSeconds, all, script);
        SocketChannel channel = connect(socket, guest);
        return new Place(name, guest.lines(), Channels.newWriter(channel, StandardCharsets.UTF_8), guest, null);
    }

    private static SocketChannel connect(Path socket, Guest guest) throws IOException, InterruptedException {
        while (!guest.endsWithin(20)) {
            SocketChannel channel = Files.exists(socket) ? connectOnce(socket) : null;
            if (channel != null) {
                return channel;
            }
        }
        throw new IllegalStateException("the guest did not start:\n" + guest.diagnosis());
    }

    /** Null when QEMU has made the socket and does not listen yet. */
    private static @Nullable SocketChannel connectOnce(Path socket) throws IOException {
        try {
            return SocketChannel.open(UnixDomainSocketAddress.of(socket));
        } catch (ConnectException e) {
            return null;
        }
    }

    static Place onHost(String name, List<String> command) throws IOException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        Lines lines = new Lines(process, Installation.log(name));
        return new Place(name, lines, process.outputWriter(), null, process);
    }

    /** Tells it a command; the number that its answer will have. */
    int begin(String command) {
        try {
            commands.write(++lastNumber + " " + command + "\n");
            commands.flush();
        } catch (IOException e) {
            throw new UncheckedIOException(this + ": " + command + "\n" + lines.end(), e);
        }
        return lastNumber;
    }

    /** What came of a command. */
    String result(int number) throws InterruptedException {
        String prefix = number + " = ";
        return line(prefix).substring(prefix.length());
    }

    /** Returns when a command waits. */
    void awaitWaiting(int number) throws InterruptedException {
        line(number + " waits");
    }

    private String line(String prefix) throws InterruptedException {
        String line = lines.await(text -> text.startsWith(prefix));
        return line != null ? line : fail(this + " ended without \"" + prefix + "\":\n" + diagnosis());
    }

    /** What comes of a command that does not wait. */
    String ask(String command) throws InterruptedException {
        return result(begin(command));
    }

    void expect(String result, String command) throws InterruptedException {
        assertEquals(result, ask(command), () -> this + ": " + command);
    }

    /** Tells it a command and returns when that waits; its number. */
    int beginWaiting(String command) throws InterruptedException {
        int number = begin(command);
        awaitWaiting(number);
        return number;
    }

    void expectResult(String result, int number) throws InterruptedException {
        assertEquals(result, result(number), () -> this + ": command " + number);
    }

    Lines lines() {
        return lines;
    }

    /** Kills QEMU. */
    void cutPower() throws InterruptedException {
        if (guest != null) {
            guest.cutPower();
        }
    }

    /** Returns the exit code when it has ended by itself. */
    int waitFor() throws InterruptedException {
        if (process != null && !process.waitFor(END_LIMIT_SECONDS, TimeUnit.SECONDS)) {
            fail(this + " does not end");
        }
        return guest != null ? guest.waitFor() : process != null ? process.exitValue() : 0;
    }

    String diagnosis() {
        return guest != null ? guest.diagnosis() : lines.end();
    }

    @Override
    public void close() {
        if (guest != null) {
            guest.close();
        }
        if (process != null) {
            process.destroyForcibly().onExit().join();
        }
    }

    @Override
    public String toString() {
        return name;
    }
}
