package io.vhostfs.target;

/** A configuration that cannot work; the message names the setting and the remedy. */
public final class ConfigException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public ConfigException(String message) {
        super(message);
    }
}
